"""What the harness asks of a worker, and the figures that travel between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from twofold.engines.build_time import BuildTime
from twofold.parity.judging.subject import DEFAULT_STEPS, LadderName
from twofold.spec.experiment import Precision
from twofold.timing.timed_engine import Block

Phase = Literal["parity", "cold start", "warm-up", "rounds", "warm cache", "limits"]


@dataclass(frozen=True)
class Opened:
    """What a worker says after it opened its engine; times in seconds.

    `dropped_partial_batch`: the smaller last batch of an epoch is left out, so that all steps are
    alike. `rows_per_step` is the mean where batch sizes vary. `clock_reading_s` is what one reading
    of the clock takes there. `built`: what of `open_s` went into tracing and compiling; None where
    nobody looked.
    """

    import_s: float
    open_s: float
    rows_per_step: float
    dropped_partial_batch: bool
    clock_reading_s: float
    built: BuildTime | None = None


@dataclass(frozen=True)
class Limits:
    """Seconds after which a worker that does not answer counts as hung.

    `stopped_s`: that long it may be stopped by a signal, and then does nothing at all.
    """

    cold_s: float = 600.0
    block_s: float = 120.0
    parity_s: float = 900.0
    stopped_s: float = 10.0


@dataclass(frozen=True)
class Certification:
    """What parity asks of an engine before it is timed.

    `precisions`: those that the ladder is climbed in, beside the experiment's own; `steps`: of
    step-locked training in float32; `ladder`: how much of the ladder is climbed.
    """

    precisions: tuple[Precision, ...] = ()
    steps: int = DEFAULT_STEPS
    ladder: LadderName = "engine alone"


@dataclass(frozen=True)
class Progress:
    """Where a measurement stands: its phase, the engines at work if any, 0 to 1 of the phase."""

    phase: Phase
    engine: str | None
    fraction: float


OnProgress = Callable[[Progress], None]


class EngineWorker(Protocol):
    """One engine, alone in its process; idle between calls.

    Every method but `close` raises EngineFailed when the engine or its process breaks, and
    FrameworkMissing or DeviceUnavailable when it cannot exist here.
    """

    @property
    def engine(self) -> str:
        """The engine's name, such as `torch:eager`."""

    def open(self) -> Opened:
        """Start, import the framework, open the experiment."""

    def first_step(self) -> Block:
        """The first training step, or the first of each size: tracing and compiling included."""

    def block(self, steps: int) -> Block:
        """Some steps timed together."""

    def describe(self) -> Mapping[str, Any]:
        """`peak_memory_bytes`, `compilations` and `built` so far and `framework`."""

    def processor_seconds(self) -> float:
        """Processor time that the process has used so far."""

    def close(self) -> None:
        """End the process; harmless when it has ended already."""
