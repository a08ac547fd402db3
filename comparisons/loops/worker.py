"""A worker for loops that are no engines; it answers the harness as `twofold.timing.worker` does.

    python -m comparisons.loops.worker < commands > answers

A loop is named as "module:function"; the function takes a problem and returns something with
`run(steps)`, `synchronize()` and `compilations()`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

from twofold.errors import DeviceUnavailable
from twofold.timing.worker import CPUS_VARIABLE, confine, protected_streams

if TYPE_CHECKING:
    from twofold.timing.timed_engine import Steps, TrainingLength

COMMAND: Final = (sys.executable, "-m", "comparisons.loops.worker")
LOOPS: Final = {
    "handwritten:torch": "comparisons.loops.handwritten_torch:build",
    "handwritten:flax": "comparisons.loops.handwritten_flax:build",
    "peer:keras-torch": "comparisons.loops.peers_keras:build_torch",
    "peer:keras-jax": "comparisons.loops.peers_keras:build_jax",
    "peer:lightning": "comparisons.loops.peers_torch:build_lightning",
    "peer:skorch": "comparisons.loops.peers_torch:build_skorch",
    "peer:scikit-learn": "comparisons.loops.peers_sklearn:build",
    "products:torch": "comparisons.loops.products_torch:build",
    "products:flax": "comparisons.loops.products_flax:build",
    "floor:torch": "comparisons.loops.floor_torch:build",
    "floor:flax": "comparisons.loops.floor_flax:build",
    "feed:torch-loader": "comparisons.loops.feeds_torch:build_loader",
    "feed:torch-loader-2-workers": "comparisons.loops.feeds_torch:build_workers",
    "feed:torch-loader-2-persistent-workers": (
        "comparisons.loops.feeds_torch:build_persistent_workers"
    ),
    "feed:torch-loader-pinned": "comparisons.loops.feeds_torch:build_pinned",
    "feed:torch-custom-dataset": "comparisons.loops.feeds_torch:build_custom_dataset",
    "feed:torch-indexing": "comparisons.loops.feeds_torch:build_indexing",
    "feed:torch-on-device": "comparisons.loops.feeds_torch:build_on_device",
    "feed:flax-device-put": "comparisons.loops.feeds_flax:build_device_put",
    "feed:flax-prefetch": "comparisons.loops.feeds_flax:build_prefetch",
    "feed:flax-on-device": "comparisons.loops.feeds_flax:build_on_device",
}
TRAINED: Final = ("handwritten", "peer")
"""Kinds of loops whose training has an end; feeds, products and floors go on."""
Answer = dict[str, Any]


@final
class LoopWorker:
    """One loop, opened, stepped and timed on command."""

    def __init__(self) -> None:
        self._loop: Steps | None = None
        self._length: TrainingLength | None = None

    def open(self, experiment: str, engine: str) -> Answer:
        """Import the loop's libraries, then build it for the experiment (JSON text), each timed."""
        from twofold.problem.data import prepare
        from twofold.spec.experiment import Experiment
        from twofold.timing import clock, timed_engine

        given = prepare(Experiment.model_validate_json(experiment))
        problem, dropped_partial_batch = timed_engine.whole_batches(given)
        module, function = LOOPS[engine].split(":")
        system = clock.SystemClock()
        start = system.nanoseconds()
        build = getattr(importlib.import_module(module), function)
        import_s = clock.seconds_since(system, start)
        start = system.nanoseconds()
        self._loop = build(problem)
        open_s = clock.seconds_since(system, start)

        def begin_again() -> None:
            """By the loop itself where it would have to compile again, else with a new one."""
            again = getattr(self._loop, "begin_again", None)
            if again is None:
                self._loop = build(problem)
            else:
                again()

        if engine.partition(":")[0] in TRAINED:
            self._length = timed_engine.TrainingLength(problem.total_steps, begin_again)
        return {
            "import_s": import_s,
            "open_s": open_s,
            "rows_per_step": timed_engine.rows_per_step(problem),
            "dropped_partial_batch": dropped_partial_batch,
            "clock_reading_s": clock.reading_cost(system),
        }

    def first_step(self) -> Answer:
        """Time the first step."""
        from twofold.timing import clock, timed_engine

        self._make_room(1)
        block = timed_engine.timed_block(self._opened(), 1, clock.SystemClock())
        timed_engine.freeze_garbage()
        return {
            "steps": block.steps,
            "seconds": block.seconds,
            "compilations": block.compilations,
        }

    def block(self, steps: int) -> Answer:
        """Time some steps together, then wait until all threads are at rest."""
        from twofold.timing import clock, timed_engine

        system, lead_in = clock.SystemClock(), timed_engine.lead_in_of(steps)
        self._make_room(lead_in + steps)
        block = timed_engine.timed_block(self._opened(), steps, system, lead_in)
        return {
            "steps": block.steps,
            "seconds": block.seconds,
            "compilations": block.compilations,
            "settled": timed_engine.settle(system),
        }

    def describe(self) -> Answer:
        """Peak memory and compilations so far."""
        from twofold.timing.memory import peak_memory_bytes

        return {
            "peak_memory_bytes": peak_memory_bytes(),
            "compilations": self._opened().compilations(),
            "framework": None,
        }

    def _make_room(self, steps: int) -> None:
        if self._length is not None:
            self._length.make_room(steps)

    def _opened(self) -> Steps:
        if self._loop is None:
            raise RuntimeError("no loop: send the command open first")
        return self._loop


def main() -> int:
    """Answer commands until `close` or the end of the input; returns the exit code."""
    confine(os.environ.get(CPUS_VARIABLE, ""))
    commands, answers = protected_streams()
    worker = LoopWorker()
    table: dict[str, Callable[..., Answer]] = {
        "open": worker.open,
        "first_step": worker.first_step,
        "block": worker.block,
        "describe": worker.describe,
    }
    for line in iter(commands.readline, ""):
        command = json.loads(line)
        name = command.pop("command")
        if name == "close":
            break
        answers.write(json.dumps(_answer_to(table[name], command)) + "\n")
        answers.flush()
    return 0


def _answer_to(action: Callable[..., Answer], arguments: dict[str, Any]) -> Answer:
    try:
        return {"answer": action(**arguments)}
    except DeviceUnavailable as error:
        return {"error": {"kind": "DeviceUnavailable", "message": str(error)}}
    except ModuleNotFoundError as error:
        message = f"{error.name} not installed; install with: pip install 'twofold[peers]'"
        return {"error": {"kind": "FrameworkMissing", "message": message}}
    except Exception as error:  # whatever a library raises is what the person must read
        traceback.print_exc()
        text = (str(error).splitlines() or [""])[0]
        return {
            "error": {"kind": type(error).__name__, "message": f"{type(error).__name__}: {text}"}
        }


if __name__ == "__main__":
    sys.exit(main())
