"""Engines that people use, and each framework's quickest, timed at sizes from small to large.

Each engine runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from comparisons.claims.claim import Findings
from twofold import Experiment
from twofold.backends.installed import engine_names
from twofold.timing.conditions import Conditions
from twofold.timing.measure import measure

CANDIDATES: Final = (
    "torch:eager",
    "torch:eager-fused",
    "torch:compile",
    "torch:compile-step",
    "torch:compile-epoch",
    "flax:jit",
    "flax:scan",
)
SECONDS: Final = 7.0
QUICK_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Size:
    """Rows in a batch and units in each of the two hidden layers."""

    batch: int
    width: int

    @property
    def text(self) -> str:
        return f"batch {self.batch}, width {self.width}"


SIZES: Final = (Size(16, 32), Size(64, 128), Size(2048, 128), Size(2048, 512))


def by_size(quick: bool) -> Findings:
    """Cold start and step time of the lesson's network at each size.

    Parity is not asked for at these sizes: each engine would compile everything twice over.
    """
    known = engine_names()
    engines = [name for name in CANDIDATES if name in known]
    seconds = QUICK_SECONDS if quick else SECONDS
    sizes = SIZES[:2] if quick else SIZES
    return {
        "conditions": "the lesson's network (20 inputs, two hidden layers, dropout 0.2, 3 classes, "
        "AdamW) at growing batch and width, float32; one process for each engine, in turns; "
        "timed without climbing the parity ladder at these sizes",
        "cuda": has_cuda(),
        "sizes": [{"size": size.text, **timing(size, engines, seconds)} for size in sizes],
    }


def timing(size: Size, engines: Sequence[str], seconds: float) -> dict[str, Any]:
    experiment = Experiment.load("lesson").with_values(
        model__hidden=(size.width, size.width),
        data__batch_size=size.batch,
        data__drop_last=True,
    )
    result = measure(
        experiment, engines=engines, conditions=Conditions(seconds=seconds), certification=None
    )
    return {"batch": size.batch, "width": size.width, "timing": slim(result.to_json())}


def slim(timing: dict[str, Any]) -> dict[str, Any]:
    """Without what each framework says of itself: `twofold doctor` prints that."""
    engines = [{**entry, "framework": None} for entry in timing["engines"]]
    return {**timing, "engines": engines}


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
