"""What the answers of a judge come to, and whether that is enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

DETECTED: Final = 0.98
PLACED: Final = 0.90
CAUSED: Final = 0.70
CORRECT: Final = 1000
"""What is asked of the judge; every kind of mistake is told apart in the result."""

MARKS: Final = ("detected", "place_named", "place_right", "cause_named", "cause_right")

Rows = Sequence[dict[str, Any]]


def scored(bugs: Rows, correct: Rows) -> dict[str, Any]:
    """Counts by kind and together, false verdicts, and the gap between right and wrong.

    Rows of `bugs` have their marks (`trial.marks`). Pairs without a mistake are counted once each.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in bugs))
    controls = {row["control_of"]: row for row in bugs}.values()
    return {
        "bugs": _counted(bugs),
        "kinds": {kind: _counted([row for row in bugs if row["kind"] == kind]) for kind in kinds},
        "controls": dict(Counter(row["control"] for row in controls)),
        "correct": {
            "count": len(correct),
            "outcomes": dict(Counter(row["outcome"] for row in correct)),
            "explained": sum(
                row["outcome"] == "same" and bool(row["explained"]) for row in correct
            ),
            "one_framework": sum(_is_of_one_framework(row) for row in correct),
        },
        "largest_correct": _largest(correct, controls),
        "smallest_wrong": min(
            (_number(row["ratio"]) for row in bugs if row["detected"] and row["ratio"] is not None),
            default=None,
        ),
    }


def _counted(rows: Rows) -> dict[str, Any]:
    return {
        "count": len(rows),
        "outcomes": dict(Counter(row["outcome"] for row in rows)),
        **{name: sum(row[name] for row in rows) for name in MARKS},
    }


def _is_of_one_framework(row: dict[str, Any]) -> bool:
    first, second = row["meeting"].split("->")
    return bool(first == second)


def _largest(correct: Rows, controls: Iterable[dict[str, Any]]) -> float | None:
    """The largest ratio of a pair that is right and was called so."""
    ratios = [_number(row["ratio"]) for row in correct if row["outcome"] == "same"]
    ratios += [_number(row["control_ratio"]) for row in controls if row["control"] == "same"]
    return max(ratios, default=None)


def _number(value: Any) -> float:
    """A stored ratio; a pair of which nothing has a ratio is no evidence, and counts as none."""
    return 0.0 if value is None else float(value)


def shortcomings(score: dict[str, Any]) -> list[str]:
    """Sentences on what is not reached; none if the judge is good enough."""
    bugs, count = score["bugs"], score["bugs"]["count"]
    found: list[str] = []
    for name, wanted, said in (
        ("detected", DETECTED, "mistakes detected"),
        ("place_right", PLACED, "places right"),
        ("cause_right", CAUSED, "causes right"),
    ):
        if count == 0 or bugs[name] < wanted * count:
            found.append(f"{said}: {bugs[name]} of {count}; {wanted:.0%} are asked for")
    wrong = {k: v for k, v in score["correct"]["outcomes"].items() if k != "same"}
    wrong_controls = {k: v for k, v in score["controls"].items() if k != "same"}
    if wrong or wrong_controls:
        told = ", ".join(f"{v} {k}" for k, v in {**wrong}.items()) or "none"
        controls = ", ".join(f"{v} {k}" for k, v in wrong_controls.items()) or "none"
        found.append(f"correct ports not called the same: {told}; pairs without bugs: {controls}")
    if score["correct"]["count"] < CORRECT:
        found.append(f"correct ports: {score['correct']['count']}; {CORRECT} are asked for")
    return found
