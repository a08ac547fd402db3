"""One pair of somebody else's, and what the judge answers for it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from twofold import port
from twofold.errors import TwofoldError

SAME_ARGUMENTS: Final = "the same"
DEFAULTS: Final = "each library's defaults"
ITSELF: Final = "the model itself"
LONGEST: Final = 800
"""Characters of a note that are kept."""
JUDGED: Final = ("same", "undecided", "differs")


@final
@dataclass(frozen=True)
class Case:
    """`pair()` makes it; `arguments` says how both were called."""

    group: str
    name: str
    arguments: str
    pair: Callable[[], port.Pair]
    options: Mapping[str, Any]


def judged(case: Case) -> dict[str, Any]:
    """The answer as a row; a refusal of the judge is an answer too."""
    started = time.perf_counter()
    row: dict[str, Any] = {
        "group": case.group,
        "name": case.name,
        "arguments": case.arguments,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            report = case.pair().certify(**case.options)
        except TwofoldError as error:
            row |= {"outcome": "refused", "ratio": None, "rung": "", "place": "", "cause": ""}
            row["note"] = f"{type(error).__name__}: {error}"[:400]
        else:
            row |= _told(report)
    return row | {"seconds": round(time.perf_counter() - started, 1)}


def _told(report: port.PortReport) -> dict[str, Any]:
    first = report.first_difference
    of_pair = [finding for r in report.rungs if r.side == "pair" for finding in r.findings]
    ratios = [f.ratio for f in of_pair if f.verdict in JUDGED and f.ratio is not None]
    unlike = [r for r in report.rungs if r.verdict in ("differs", "undecided", "explained")]
    return {
        "outcome": report.outcome(),
        "ratio": max(ratios, default=None),
        "rung": unlike[0].rung if first is None and unlike else "" if first is None else first.rung,
        "size": None if first is None else first.size,
        "place": "" if first is None else _place(first),
        "cause": "" if first is None else first.cause,
        "note": "; ".join(dict.fromkeys(t for r in unlike for t in (r.explanation, r.note) if t))[
            :LONGEST
        ],
    }


def _place(first: port.Difference) -> str:
    """Modules, or lines; the model itself where a cause was found in it and nothing smaller is."""
    both = dict.fromkeys(t for t in (first.module, first.port_module) if t)
    lines = dict.fromkeys(t for t in (first.line, first.port_line) if t)
    return " / ".join(both) or " / ".join(lines) or (ITSELF if first.kind else "")
