"""One pair put before a judge, and what the judge said of it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from comparisons.evidence.ports.bugs.bug import OUTSIDE, Bug
from comparisons.evidence.ports.setup import Setup, pair_of, require_read
from twofold import port
from twofold.errors import TwofoldError
from twofold.port.judge.first import NO_CAUSE

STEPS = 3
JUDGED = ("same", "undecided", "differs")


@final
@dataclass(frozen=True)
class Answer:
    """What a judge said: an outcome, and where and why the pair parts; "" where it said nothing.

    `ratio` is the largest of a tensor that was judged and not explained; None where there is none.
    `explained` names the rungs with a difference that the judge explains.
    """

    outcome: str
    ratio: float | None = None
    rung: str = ""
    module: str = ""
    port_module: str = ""
    cause: str = ""
    line: str = ""
    note: str = ""
    explained: str = ""


Row = dict[str, Any]
Judge = Callable[[port.Pair, int], Answer]


def judge(pair: port.Pair, steps: int) -> Answer:
    """Twofold's judge, asked through its public names. Raises what `Pair.certify` raises."""
    report = pair.certify(steps=steps, precisions=())
    first = report.first_difference
    judged = [
        f for r in report.rungs if r.side == "pair" for f in r.findings if f.verdict in JUDGED
    ]
    ratios = [f.ratio for f in judged if f.ratio is not None]
    verdicts = {rung.verdict for rung in report.rungs}
    outcome = "differs" if "differs" in verdicts else "same" if report.passed else "undecided"
    worst = next((r.rung for r in report.rungs if r.verdict in ("differs", "undecided")), "")
    notes = [r.note for r in report.rungs if r.verdict in ("undecided", "differs") and r.note]
    return Answer(
        outcome,
        ratio=max(ratios, default=None, key=lambda r: math.inf if math.isnan(r) else r),
        rung=worst if first is None else first.rung,
        module="" if first is None else first.module,
        port_module="" if first is None else first.port_module,
        cause="" if first is None else " ".join(filter(None, [first.cause, first.trap])),
        line="" if first is None else " / ".join(filter(None, [first.line, first.port_line])),
        note="; ".join(notes)[:300],
        explained=", ".join(r.rung for r in report.rungs if r.verdict == "explained"),
    )


def ask(setup: Setup, by: Judge) -> Row:
    """What a judge answers for a setup, as a row; its refusal is an outcome too."""
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries say of themselves is no answer
            pair, plans = pair_of(setup)
            steps = STEPS if setup.common.get("optimizer.kind") else 0
            answer = by(pair, steps)
        require_read(setup, plans)
    except TwofoldError as error:
        answer = Answer("refused", note=f"{type(error).__name__}: {error}"[:300])
    seconds = time.perf_counter() - started
    return {
        "outcome": answer.outcome,
        "ratio": answer.ratio,
        "rung": answer.rung,
        "module": answer.module,
        "port_module": answer.port_module,
        "cause": answer.cause,
        "line": answer.line,
        "note": answer.note,
        "explained": answer.explained,
        "seconds": round(seconds, 2),
    }


def bug_row(bug: Bug, by: Judge, controls: dict[str, Row] | None = None) -> Row:
    """The answers for a planted mistake and for the same pair without it.

    `marks` says what of them is right.
    `controls` keeps the answers for pairs without a mistake, which many mistakes share.
    """
    controls = {} if controls is None else controls
    without = bug.setup(planted=False)
    if repr(without) not in controls:
        controls[repr(without)] = ask(without, by)
    control = controls[repr(without)]
    return {
        "name": bug.name,
        "kind": bug.kind,
        "architecture": bug.architecture,
        "side": bug.side,
        "meeting": bug.meeting,
        **ask(bug.setup(), by),
        "control_of": repr(without),
        "control": control["outcome"],
        "control_ratio": control["ratio"],
        "control_note": control["note"],
    }


def marks(bug: Bug, row: Row) -> dict[str, bool]:
    """What of an answer is right, and what the judge has said at all.

    A mistake is detected if the judge says that it differs, and says that the pair without it is
    the same: who says "differs" to everything has detected nothing. A place or a cause that is not
    named is not right.
    """
    detected = row["outcome"] == "differs" and row["control"] == "same"
    rung_is_place = row["rung"].startswith("loss") or "step" in row["rung"]
    named = bool(row["module"] or row["port_module"] or row["line"] or rung_is_place)
    return {
        "detected": detected,
        "place_named": detected and named,
        "place_right": detected and right_place(bug, row),
        "cause_named": detected and row["cause"] not in ("", NO_CAUSE),
        "cause_right": detected and bug.names_cause(row["cause"]),
    }


def right_place(bug: Bug, row: Row) -> bool:
    """Whether the place named is one in which a person would find the mistake.

    The loss and the steps are right if theirs is the first rung that differs. "inputs" and "" (the
    model's own lines) are right if no module is blamed and a line of the architecture's own file
    is named.
    """
    named = {row["module"], row["port_module"]}
    rung = row["rung"]
    for place in bug.places:
        if place == "loss" and rung.startswith("loss"):
            return True
        if place == "steps" and "step" in rung:
            return True
        if place not in OUTSIDE and place and place in named:
            return True
        own_lines = any(file in row["line"] for file in (f"{bug.architecture}.py", "pictures.py"))
        if place in ("", "inputs") and named <= {"", "input", "inputs", "model"} and own_lines:
            return True
    return False


def correct_row(setup: Setup, by: Judge) -> Row:
    """The answer for a correct port."""
    row = ask(setup, by)
    named = {"seed": setup.seed, "architecture": setup.architecture, "meeting": setup.meeting}
    kept = ("outcome", "ratio", "rung", "note", "explained", "seconds")
    return {
        **named,
        "optimizer": setup.common.get("optimizer.kind") or "",
        **{key: row[key] for key in kept},
    }
