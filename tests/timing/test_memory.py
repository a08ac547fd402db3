"""The most memory that a process held: its own, and from a given moment on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from twofold.timing.memory import forget_peak, peak_memory_bytes

MANY = 300_000_000
ASK = "from twofold.timing.memory import peak_memory_bytes; print(peak_memory_bytes())"

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone keeps such marks")


@only_linux
def test_what_the_parent_held_is_not_the_childs() -> None:
    held = b"x" * MANY  # zeros would not be written to memory
    answer = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert 2**20 < int(answer.stdout) < len(held) / 2


@only_linux
def test_a_peak_that_is_forgotten_hides_no_later_one() -> None:
    del [b"x" * MANY][:]
    forget_peak()
    before = peak_memory_bytes()
    held = b"x" * (MANY // 2)
    after = peak_memory_bytes()
    assert before is not None
    assert after is not None
    assert len(held) * 0.9 < after - before < len(held) * 1.1
