"""The table of studies, and the way to run one in a process of its own.

A study is a function of `quick` that returns what it found in JSON's own types, with the
`conditions` it ran under in words. Its module is loaded only when it runs.
"""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from typing import Any, Final, cast

from comparisons.claims.claim import Findings
from comparisons.claims.store import Record
from twofold.results import environment
from twofold.temporary import clear_leftovers

HOME: Final = "comparisons.claims.studies"
STUDIES: Final[Mapping[str, str]] = {
    "engines by size": "engines:by_size",
    "float64 speed": "precision:speed",
    "float64 quality": "precision:quality",
    "varying batch sizes": "shapes:varying_batch_sizes",
    "Python control flow": "control_flow:python_control_flow",
    "learning rates": "learning_rates:sweep",
    "feeding": "feeding:loader_workers",
    "feeding share": "feeding:loader_share",
    "gradient accumulation": "autograd:accumulation",
    "operands on two devices": "devices:two_devices",
    "sequential": "modules:sequential",
    "softmax twice": "modules:softmax_twice",
    "dropout modes": "modules:dropout_modes",
    "same numbers": "numbers:same_numbers",
    "same seed": "numbers:same_seed",
    "repeated run": "numbers:repeated_run",
    "jit dispatch": "overhead:jit_dispatch",
    "threads": "habits:threads",
    "batch sizes": "habits:batch_sizes",
    "fused optimizer": "habits:fused_optimizer",
    "inference without gradients": "habits:without_gradients",
    "in place": "habits:in_place",
    "NumPy forward": "habits:numpy_forward",
}


def study(name: str) -> Callable[[bool], Findings]:
    """The function of a study; its module, and with it a framework, is loaded."""
    module, function = STUDIES[name].split(":")
    return cast("Callable[[bool], Findings]", getattr(import_study(module), function))


def import_study(module: str) -> Any:
    return importlib.import_module(f"{HOME}.{module}")


OWN_PROCESSES: Final = frozenset({"engines by size"})
"""Studies whose sides run in processes of their own, one at a time."""


def run_here(name: str, quick: bool) -> Record:
    """Run a study in this process."""
    # Threads that wait must not spin: the next side of a comparison would pay for it. Processes of
    # their own are let come to rest instead: whole compiled steps are three times as slow where
    # their threads must be woken for every loop.
    if name not in OWN_PROCESSES:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    surroundings = environment.describe()
    start = time.perf_counter()
    findings = study(name)(quick)
    return Record(findings, surroundings, time.perf_counter() - start, quick)


def run_apart(name: str, quick: bool) -> Record:
    """Run a study in a fresh process, so that none meets what another left behind.

    Who interrupts this process ends that one, too.
    """
    with ProcessPoolExecutor(
        max_workers=1,
        mp_context=get_context("spawn"),
        initializer=signal.signal,  # Ctrl-C reaches both; this one answers it
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as pool:
        try:
            return pool.submit(run_here, name, quick).result()
        except KeyboardInterrupt:
            for child in active_children():
                child.kill()
                child.join()
            clear_leftovers(tempfile.gettempdir())
            raise
