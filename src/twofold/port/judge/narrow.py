"""Differences that are gone once casts inside the models are kept in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from twofold.port.judge.batches import Outputs
from twofold.port.judge.question import Question
from twofold.port.report import Narrowing, PortRung
from twofold.port.side import Side
from twofold.port.twins import SAME

BITS = {"float64": 64, "float32": 32, "bfloat16": 16, "float16": 16}


def explained_by_casts(
    rung: PortRung, question: Question, outputs: Outputs, ask: Callable[..., Any]
) -> PortRung:
    """A rung that is the same, but only because casts narrower than the model were kept wide.

    A cast to the model's own precision changes nothing when a person runs it. One that is narrower
    does: then both sides run as they are written, and the difference is told with its lines.
    """
    narrow = [n for n in question.told.narrowings if _is_narrower(n, question)]
    if rung.verdict != "same" or not narrow:
        return rung
    apart = _apart_as_written(question, outputs, ask)
    noise = max((f.noise or 0.0 for f in rung.findings), default=0.0)
    if apart <= SAME * noise:
        return rung
    lines = ", ".join(dict.fromkeys(f"{n.where} ({n.target}, {n.side})" for n in narrow[:4]))
    return replace(
        rung,
        verdict="explained",
        explanation=(
            f"the same once numbers are kept in float64 at {lines}; as written the outputs are "
            f"up to {apart:.2g} apart"
        ),
    )


def _is_narrower(narrowing: Narrowing, question: Question) -> bool:
    subject = question.subject
    side = subject.original if narrowing.side == "original" else subject.port
    return BITS.get(narrowing.target, 64) < _own_bits(side)


def _own_bits(side: Side) -> int:
    floats = [t.value.dtype.itemsize * 8 for t in side.tensors() if t.value.dtype.kind == "f"]
    return max(floats, default=32)


def _apart_as_written(question: Question, outputs: Outputs, ask: Callable[..., Any]) -> float:
    """The largest |A - B| of the outputs with the casts as they are."""
    first, second = ask(0, wide=False)
    a = question.subject.original.answer(first).outputs
    b = question.subject.port.answer(second).outputs
    apart = 0.0
    for path, other in outputs.pairs:
        values = np.abs(np.asarray(outputs.turned(path, a[path]), np.float64) - b[other])
        values = values[np.isfinite(values)]
        apart = max(apart, float(values.max()) if values.size else 0.0)
    return apart
