"""The story of the first rung that diverges: how far off, the likely causes, how to see it again.

A cause is likely where the oracle, changed by it, fits what the engine computed: the same rung is
judged again by the changed oracle, within its ordinary bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from twofold.errors import TwofoldError
from twofold.experiment import PARAMETER_DTYPES, Experiment, Precision
from twofold.parity.causes import Cause, causes_of
from twofold.parity.rungs import LADDER
from twofold.parity.subject import Subject
from twofold.parity.verdict import Rung, Worst

SHOWN: Final = 3  # causes that fit only in part
MOMENT_RUNGS: Final = frozenset(
    {"init", "data order", "dropout masks", "forward", "loss", "gradients"}
    | {f"{what} ({when})" for what in ("slots", "update") for when in ("fresh", "warm")}
)


@dataclass(frozen=True)
class Fit:
    """How well the oracle fits with a cause: the worst ratio that is left."""

    cause: Cause
    ratio: float

    @property
    def whole(self) -> bool:
        """Whether the cause accounts for every element."""
        return self.ratio <= self.cause.largest_ratio


def diagnose(subject: Subject, rungs: Sequence[Rung]) -> list[Rung]:
    """The rungs, the first that diverges with its diagnosis; the session's state may change."""
    for position, rung in enumerate(rungs):
        if rung.verdict == "diverges":
            explained = replace(rung, diagnosis=tuple(_lines(subject, rung)))
            return [*rungs[:position], explained, *rungs[position + 1 :]]
    return list(rungs)


def _lines(subject: Subject, rung: Rung) -> list[str]:
    lines = []
    if rung.worst is not None and rung.worst.bound > 0:
        lines.append(f"off by         {_distance(rung.worst, rung.precision)}")
        lines.append(f"would pass     with bounds {rung.worst_ratio:.3g} times as wide")
    lines += _causes(ranked(subject, rung))
    experiment = subject.reference.problem.experiment
    lines.append(f"reproduce      {command(experiment, rung)}")
    return lines


def _distance(worst: Worst, precision: Precision) -> str:
    """The difference in units in the last place of the oracle's value."""
    kind = np.dtype(PARAMETER_DTYPES[precision]).type
    ulps = abs(worst.computed - worst.oracle) / float(np.spacing(kind(abs(worst.oracle))))
    relative = abs(worst.computed - worst.oracle) / max(abs(worst.oracle), 1e-300)
    return f"{ulps:,.0f} ulp of {PARAMETER_DTYPES[precision]}, {relative:.1e} relative"


def ranked(subject: Subject, rung: Rung) -> list[Fit]:
    """Every known cause with what it leaves, the best fit first."""
    if rung.rung not in MOMENT_RUNGS:
        return []
    experiment = subject.reference.problem.experiment
    fits = []
    for cause in causes_of(experiment, rung.rung):
        ratio = _ratio_with(subject, rung, cause)
        if ratio is not None:
            fits.append(Fit(cause, ratio))
    # Of those that fit, coarser arithmetic says least, and comes last in the catalogue.
    return sorted(fits, key=lambda fit: 0.0 if fit.whole else fit.ratio)


def _ratio_with(subject: Subject, rung: Rung, cause: Cause) -> float | None:
    """What the rung's worst ratio would be with a cause; None where it cannot be told."""
    changed = replace(subject, reference=cause.change(subject.reference))
    try:
        judged = [again for _, judge in _judges(rung.rung) for again in judge(changed)]
    except Exception:  # an engine that is already wrong may fail in any way
        return None
    same = [again for again in judged if again.rung == rung.rung]
    if not same or same[0].verdict == "not run":
        return None
    if same[0].verdict in ("certified", "explained"):
        return same[0].worst_ratio or 0.0
    return same[0].worst_ratio


def _judges(rung: str) -> list[tuple[str, Callable[[Subject], tuple[Rung, ...]]]]:
    place = rung.replace("slots", "update")
    return [entry for entry in LADDER if entry[0] == place]


def _causes(fits: list[Fit]) -> list[str]:
    whole = [fit for fit in fits if fit.whole]
    whole = [fit for fit in whole if fit.cause.largest_ratio == 1] or whole  # precision says least
    if whole:
        best = [f"likely cause   {whole[0].cause.words}: it accounts for every element"]
        return best + [f"  or           {fit.cause.words}" for fit in whole[1:]]
    part = [fit for fit in fits if np.isfinite(fit.ratio) and fit.cause.largest_ratio == 1][:SHOWN]
    if not part:
        return []
    lines = [f"likely cause   none of {len(fits)} known differences accounts for it; the nearest:"]
    return lines + [f"  left over    ratio {fit.ratio:.3g} with {fit.cause.words}" for fit in part]


def command(experiment: Experiment, rung: Rung) -> str:
    """The command that climbs to this rung again."""
    from twofold import specfile

    engine = f"--engines {rung.engine} --precision {rung.precision}"
    try:
        built_in = specfile.load(experiment.name)
    except TwofoldError:
        return f"save the experiment (`to_toml()`) as own.toml; twofold parity own.toml {engine}"
    overrides = [
        f"--set {path}={value}"
        for path, value in _differences(
            built_in.model_dump(mode="json"), experiment.model_dump(mode="json")
        )
    ]
    return " ".join([f"twofold parity {experiment.name} {engine}", *overrides])


RESOLVED: Final = frozenset({"precision", "model.in_features", "model.out_features"})


def _differences(
    built_in: dict[str, Any], used: dict[str, Any], prefix: str = ""
) -> list[tuple[str, str]]:
    """What was set on top of a built-in experiment, apart from what the data decides."""
    found: list[tuple[str, str]] = []
    for key, value in used.items():
        path = f"{prefix}{key}"
        before = built_in.get(key)
        if value == before or path in RESOLVED:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            found += _differences(before, value, f"{path}.")
        elif value is not None:
            found.append((path, str(value).lower() if isinstance(value, bool) else str(value)))
    return found
