"""A second question: how well float32 and bfloat16 of each side do its own float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np

from twofold.port.judge.findings import not_exercised, rung_of
from twofold.port.judge.forward_rungs import Forward
from twofold.port.report import Finding, PortRung
from twofold.port.side import Array, Precision, Side
from twofold.port.twins import SAME

UNITS: Final[dict[Precision, float]] = {"float32": 2.0**-24, "bfloat16": 2.0**-8}
"""Half a unit in the last place of each type."""


@final
@dataclass(frozen=True)
class Noise:
    """How far one side's outputs in a precision are from its own float64."""

    finding: Finding
    error: float


def precision_rungs(forward: Forward, precision: Precision) -> list[PortRung]:
    """One rung for each side. The noise to expect is what numbers rounded once make in float64."""
    subject = forward.subject
    measured = []
    for place, (side, name) in enumerate(((subject.original, "original"), (subject.port, "port"))):
        measured.append((side, name, _noises(forward, place, side, precision)))
    rungs = []
    for index, (side, name, noises) in enumerate(measured):
        if not noises:
            rungs.append(not_exercised(precision, "no outputs of real numbers", side=name))
            continue
        own, other = (_largest(measured[i][2]) for i in (index, 1 - index))
        note = ""
        if index == 1 and own > 0 and other > 0:
            note = f"{precision} of the port is {own / other:.2g} times as noisy as the original's"
        rung = rung_of(precision, [n.finding for n in noises], side=name, notes=[note] * bool(note))
        rungs.append(_told(rung, side, precision))
    return rungs


def _noises(forward: Forward, place: int, side: Side, precision: Precision) -> list[Noise]:
    unit = UNITS[precision]

    def answer(twin: int, kind: Precision) -> dict[str, Array]:
        calls = forward.subject.calls(
            "evaluation", {"outputs"}, twin=twin, ulp=2 * unit, precision=kind
        )
        return dict(side.answer(calls[place]).outputs)

    point = answer(0, "float64")
    twins = [answer(twin, "float64") for twin in range(1, forward.twins + 1)]
    narrow = answer(0, precision)
    return [
        _noise(path, value, [t[path] for t in twins], narrow[path], unit)
        for path, value in point.items()
        if value.dtype.kind == "f" and value.size
    ]


def _noise(path: str, point: Array, twins: list[Array], narrow: Array, unit: float) -> Noise:
    name = path or "output"
    finite = np.isfinite(point)
    if not np.array_equal(finite, np.isfinite(narrow)):
        count = int((finite & ~np.isfinite(narrow)).sum())
        note = f"{count} of {point.size} elements are not finite, and are in float64"
        return Noise(Finding(name, name, "differs", None, note=note), float("inf"))
    apart = np.where(finite, np.abs(narrow - point), 0.0)
    scatter = np.sqrt(np.mean([np.square(np.where(finite, t - point, 0.0)) for t in twins], axis=0))
    moving = scatter[scatter > 0]
    floor = float(np.median(moving)) if moving.size else 0.0
    sizes = np.where(finite, np.abs(point), 0.0)
    scale = np.maximum(np.maximum(scatter, floor), unit * sizes)
    ratios = np.where(apart == 0, 0.0, apart / np.where(scale == 0, np.inf, scale))
    worst = np.unravel_index(int(np.argmax(ratios)), point.shape)
    ratio = float(ratios[worst])
    largest = float(sizes.max())
    found = Finding(
        tensor=name,
        port=name,
        verdict="same" if ratio <= SAME else "explained",
        ratio=ratio,
        index=tuple(int(i) for i in worst),
        original_value=float(point[worst]),
        port_value=float(narrow[worst]),
        noise=float(scale[worst]),
        size=float(apart.max() / largest) if largest else None,
    )
    return Noise(found, float(np.sqrt(np.mean(np.square(apart)))))


def _largest(noises: list[Noise]) -> float:
    return max((noise.error for noise in noises), default=0.0)


def _told(rung: PortRung, side: Side, precision: Precision) -> PortRung:
    if rung.verdict != "explained" or rung.ratio is None:
        return rung
    text = (
        f"{precision} of {side.label} is {rung.ratio:.3g} times as far from its own float64 as "
        "rounding its numbers once makes it"
    )
    return replace(rung, explanation=text)
