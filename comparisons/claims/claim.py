"""The values of the ledger: a claim, the case made at one condition, and the judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["confirmed", "refuted", "depends", "not testable here"]
Source = Literal["the lesson", "popular"]
Unit = Literal["s", "times", "accuracy", "share", "number", "words"]
Findings = Mapping[str, Any]
"""What one study found, in JSON's own types."""


@dataclass(frozen=True)
class Figure:
    """One measured number with its 95 % interval, if it has one, or one observed text."""

    label: str
    value: float | str
    unit: Unit = "number"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Case:
    """Whether a claim holds under one condition; None where the measurement does not decide.

    `missing` says why there was no measurement, where there was none. `lacking` names engines that
    were not measured and could decide otherwise.
    """

    condition: str
    holds: bool | None
    figures: tuple[Figure, ...] = ()
    missing: str = ""
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason in a sentence, its figures, and where it flips."""

    verdict: Verdict
    because: str
    figures: tuple[Figure, ...] = ()
    flips: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence that people say, and what decides it.

    `criterion` says in words when it counts as confirmed; `rule` takes the findings of `studies`,
    in that order, and raises NotMeasured where they do not hold what it needs. `lesson` is the
    number of the lesson's claim. `needs` names hardware without which it cannot be tested.
    """

    id: str
    sentence: str
    source: Source
    criterion: str
    studies: tuple[str, ...]
    rule: Callable[..., Judgement]
    lesson: int | None = None
    unjudged: str = ""
    """The part of the sentence that no experiment here can decide."""


class NotMeasured(Exception):
    """The results hold no figure that the rule needs; the message says which."""
