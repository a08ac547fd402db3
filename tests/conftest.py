"""What all tests share: signals, a folder where JAX keeps what it compiled, and which are slow.

A run in the background (`nohup`, a job's `&`) ignores SIGHUP or SIGINT, and a process that a test
starts would inherit that. A handler that does nothing is not inherited.

Most tests open sessions of their own, whose programs are often those of another test: the same
network under another engine, or the run before. A program is found by all that it is made from
(JAX 0.10, *Persistent compilation cache*), so a changed backend compiles anew. Workers of the
timing harness do not inherit the folder: their cold starts stay cold.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from twofold.results.environment import processor_name


def pytest_configure(config: pytest.Config) -> None:
    """Name the folder before JAX is imported: one for each processor, as compiled code is."""
    for name in ("SIGHUP", "SIGINT"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    cache = getattr(config, "cache", None)
    if cache is None:  # switched off with -p no:cacheprovider
        return
    processor = re.sub(r"\W+", "-", processor_name()).lower()
    folder = cache.mkdir("programs-of-jax") / processor
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is marked slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that tests/slow.txt names by what they were measured to take."""
    text = (Path(__file__).parent / "slow.txt").read_text(encoding="utf-8")
    named = {line for line in text.splitlines() if not line.startswith("#")}
    for item in items:
        if item.nodeid in named:
            item.add_marker(pytest.mark.slow)
