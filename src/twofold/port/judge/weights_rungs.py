"""Whether every weight is accounted for, and whether the port holds the original's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from twofold.errors import BadInput
from twofold.port.judge.mapping import REORDERED
from twofold.port.judge.subject import Subject
from twofold.port.report import Finding, PortRung, Verdict
from twofold.port.side import Array, Tensor
from twofold.port.weights import Link

TIED_IN_PORT: Final = (
    "several tensors of the original are one tensor of the port (tied), which cannot hold their "
    "values; nothing else can be judged"
)
ALONE: Final = "without a partner"


def weights_rung(subject: Subject) -> PortRung:
    """Every trained parameter has a partner; what else is left over is named."""
    weights = subject.weights
    state = subject.state()
    findings = [
        _held(link)
        if holds(subject, link, state)
        else Finding(_listed(link.original), _listed(link.port), "differs", None, note=TIED_IN_PORT)
        for link in weights.links
    ]
    reordered = [text for text in weights.doubts if text.startswith(REORDERED)]
    notes = [text for text in weights.doubts if text not in reordered]
    sides = (subject.original, "original"), (subject.port, "port")
    for (side, where), names in zip(sides, weights.left_over, strict=True):
        tensors = {tensor.name: tensor for tensor in side.tensors()}
        lone = [name for name in names if _is_trained(tensors, name)]
        for name in lone:
            text = f"a trained parameter of the {where} {ALONE}"
            pair = (name, "") if where == "original" else ("", name)
            findings.append(Finding(pair[0] or name, pair[1], "differs", None, note=text))
        rest = [name for name in names if name not in lone]
        if rest:
            notes.append(f"left over in the {where}, as they are: {_listed(rest)}")
    failed = [f for f in findings if f.verdict == "differs"]
    return PortRung(
        rung="weights",
        side="pair",
        verdict=_verdict(findings, bool(reordered)),
        tensor=failed[0].tensor if failed else "",
        note="; ".join([f"{len(weights.links)} links" if weights.links else "no weights", *notes]),
        explanation="; ".join(reordered),
        findings=tuple(findings),
    )


def _verdict(findings: list[Finding], reordered: bool) -> Verdict:
    if any(finding.verdict == "differs" for finding in findings):
        return "differs"
    if not findings:
        return "not exercised"
    return "explained" if reordered else "same"


def _held(link: Link) -> Finding:
    note = "" if link.kind == "one" else link.kind
    return Finding(", ".join(link.original), ", ".join(link.port), "same", None, note=note)


def holds(subject: Subject, link: Link, state: Mapping[str, Array]) -> bool:
    """Whether the port can hold the tensors of a link: where it ties them they have to be equal."""
    if link.kind != "tied":
        return True
    try:
        subject.weights.to_port({name: state[name] for name in link.original})
    except BadInput:
        return False
    return True


def _is_trained(tensors: dict[str, Tensor], name: str) -> bool:
    """Whether a left-over name, or a part such as "name[0:4]", is of a trained parameter."""
    tensor = tensors.get(name.partition("[")[0])
    return tensor is not None and tensor.role == "parameter" and tensor.trainable


def _listed(names: Iterable[str], most: int = 4) -> str:
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return f"{', '.join(every[:most])}{more}"


def state_rung(subject: Subject) -> PortRung:
    """The jittered state carried to the port and back, bit for bit, link by link."""
    state = subject.state()
    findings = []
    for link in subject.weights.links:
        values = {name: state[name] for name in link.original}
        if link.kind == "merged":
            continue  # a sum cannot be taken apart again
        back = subject.weights.to_original(subject.weights.to_port(values))
        for name, value in values.items():
            equal = np.array_equal(value, back[name], equal_nan=True)
            note = "" if equal else "another number came back from the port's layout"
            verdict: Verdict = "same" if equal else "differs"
            findings.append(Finding(name, ", ".join(link.port), verdict, None, note=note))
    failed = [f for f in findings if f.verdict == "differs"]
    moved = sum(subject.jittered(name) for name in state)
    return PortRung(
        rung="state",
        side="pair",
        verdict="differs" if failed else "same" if findings else "not exercised",
        tensor=failed[0].tensor if failed else "",
        note=f"{moved} of {len(state)} tensors moved to a generic point",
        findings=tuple(findings),
    )
