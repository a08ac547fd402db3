"""The story of the first rung that diverges: how far off, the likely causes, how to see it again.

A cause is likely where the oracle, changed by it, fits what the engine computed: the same rung is
judged again by the changed oracle, within its ordinary bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from twofold.errors import TwofoldError
from twofold.parity.diagnosis.ranking import Fit, ranked
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung, Worst
from twofold.spec.experiment import PARAMETER_DTYPES, Experiment, Precision

SHOWN: Final = 3  # causes that fit only in part


def diagnose(subject: Subject, rungs: Sequence[Rung]) -> list[Rung]:
    """The rungs, the first that diverges with its diagnosis; the session's state may change."""
    for position, rung in enumerate(rungs):
        if rung.verdict == "diverges":
            explained = replace(rung, diagnosis=tuple(_lines(subject, rung)))
            return [*rungs[:position], explained, *rungs[position + 1 :]]
    return list(rungs)


def _lines(subject: Subject, rung: Rung) -> list[str]:
    lines = []
    if rung.worst is not None and not np.isfinite(rung.worst.computed):
        lines.append("off by         what is not finite: no bound would do")
    elif rung.worst is not None and rung.worst.bound > 0:
        lines.append(f"off by         {_distance(rung.worst, rung.precision)}")
        lines.append(f"would pass     with bounds {rung.worst_ratio:.3g} times as wide")
    lines += _causes(ranked(subject, rung))
    lines.append(f"reproduce      {_again(subject, rung)}")
    return lines


def _again(subject: Subject, rung: Rung) -> str:
    """How to climb to this rung again: a command, or for somebody's own loop their own test."""
    executor, backend = subject.session.executor_type, subject.backend.opener
    if executor.__module__.partition(".")[0] != backend.partition(".")[0]:
        return (
            f"call assert_parity(session, steps={subject.steps}) again; no command opens "
            f"{executor.__module__}.{executor.__qualname__}"
        )
    return command(subject.reference.problem.experiment, rung)


def _distance(worst: Worst, precision: Precision) -> str:
    """The difference in units in the last place of the oracle's value."""
    kind = np.dtype(PARAMETER_DTYPES[precision]).type
    ulps = abs(worst.computed - worst.oracle) / float(np.spacing(kind(abs(worst.oracle))))
    relative = abs(worst.computed - worst.oracle) / max(abs(worst.oracle), 1e-300)
    return f"{ulps:,.0f} ulp of {PARAMETER_DTYPES[precision]}, {relative:.1e} relative"


def _causes(fits: list[Fit]) -> list[str]:
    """Those that fit; where coarser arithmetic alone does, its wide bounds may hide another."""
    formulas = [fit for fit in fits if fit.cause.largest_ratio == 1]
    whole = [fit for fit in formulas if fit.whole]
    if whole:
        return _fitting(whole)
    coarse = [fit for fit in fits if fit.whole]
    nearest = [
        f"  left over    ratio {fit.ratio:.3g} with {fit.cause.words}"
        for fit in formulas
        if np.isfinite(fit.ratio)
    ][:SHOWN]
    if coarse:
        return [*_fitting(coarse), *nearest]
    if not nearest:
        return []
    words = f"none of {len(fits)} known differences accounts for it; the nearest:"
    return [f"likely cause   {words}", *nearest]


def _fitting(fits: list[Fit]) -> list[str]:
    first, *others = (fit.cause.words for fit in fits)
    lines = [f"likely cause   {first}: it accounts for every element"]
    return lines + [f"  or           {words}" for words in others]


def command(experiment: Experiment, rung: Rung) -> str:
    """The command that climbs to this rung again."""
    engine = f"--engines {rung.engine} --precision {rung.precision}"
    try:
        built_in = Experiment.load(experiment.name)
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
