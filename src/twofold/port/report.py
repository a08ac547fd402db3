"""What the judge of a pair answers: a verdict for each rung, and the first difference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias, final

from twofold.errors import ResultError
from twofold.port.twins import DIFFERS, SAME

SCHEMA: Final = "twofold.port/1"
VERDICTS: Final = ("same", "explained", "not exercised", "undecided", "differs")
"""From the best to the worst."""

ALSO: Final = 5
"""Further modules that a text names; the JSON has them all."""

NUMBERS: Final = ("ratio", "original_value", "port_value", "noise", "size")

Verdict: TypeAlias = Literal["same", "explained", "undecided", "differs", "not exercised"]


@final
@dataclass(frozen=True)
class Finding:
    """One tensor on a rung: the original's name and the port's, and how far apart they are.

    `ratio` is the largest |A - B| over the noise of rounding, None where there is no number; the
    element is at `index`, with both values and the noise there. `size` is max |A - B| / max |A|.
    """

    tensor: str
    port: str
    verdict: Verdict
    ratio: float | None
    index: tuple[int, ...] = ()
    original_value: float | None = None
    port_value: float | None = None
    noise: float | None = None
    size: float | None = None
    note: str = ""


@final
@dataclass(frozen=True)
class PortRung:
    """One question to the pair. `tensor`, `ratio` and `verdict` are those of its worst tensor.

    `side` is "pair", or "original" or "port" where only one was asked. `explanation` says what
    makes a difference that goes away without it.
    """

    rung: str
    side: str
    verdict: Verdict
    tensor: str = ""
    ratio: float | None = None
    note: str = ""
    explanation: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def worst(self) -> Finding | None:
        """The worst tensor: by verdict first, then by ratio."""
        return worst_of(self.findings)


@final
@dataclass(frozen=True)
class Difference:
    """The first place where the two part. What is not known is empty.

    `module` and `line` are of the original, `port_module` and `port_line` of the port; `also` names
    further modules of the port whose own code parts. `cause` says what differs, `likely` that it
    only fits by what it looks like and was not confirmed by a number; `evidence` is that number in
    words. `trap` is its id in the atlas of traps.
    """

    rung: str
    tensor: str
    port_tensor: str = ""
    module: str = ""
    port_module: str = ""
    line: str = ""
    port_line: str = ""
    size: float | None = None
    ratio: float | None = None
    cause: str = ""
    remedy: str = ""
    trap: str = ""
    kind: str = ""
    likely: bool = False
    evidence: str = ""
    also: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Narrowing:
    """A place inside a side that narrows numbers, and that was kept in float64."""

    side: str
    where: str
    source: str
    target: str


@final
@dataclass(frozen=True)
class PortReport:
    """The judge's answer for one pair at one generic point."""

    original: str
    port: str
    rungs: tuple[PortRung, ...]
    first_difference: Difference | None = None
    narrowings: tuple[Narrowing, ...] = ()
    twins: int = 0
    seed: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing differs or is undecided, and a forward or a step was really judged."""
        judged = any(r.verdict in ("same", "explained") and r.ratio is not None for r in self.rungs)
        return judged and not any(r.verdict in ("differs", "undecided") for r in self.rungs)

    @property
    def title(self) -> str:
        """Both sides by name."""
        return f"{self.original} -> {self.port}"

    def summary(self) -> str:
        """The whole report in a line."""
        counts = Counter(rung.verdict for rung in self.rungs)
        parts = ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])
        return f"{self.title}: {self.outcome()}: {parts or 'nothing was judged'}"

    def outcome(self) -> str:
        """The verdict on the pair in words."""
        verdicts = {rung.verdict for rung in self.rungs}
        if "differs" in verdicts:
            return "not the same function"
        if not self.passed:
            return "undecided"
        explained = "explained" in verdicts
        return f"the same function{', with explained differences' if explained else ''}"

    def to_json(self) -> dict[str, Any]:
        """The report in the schema `twofold.port/1`; what is no finite number is a word."""
        plain: dict[str, Any] = {
            "schema": SCHEMA,
            "original": self.original,
            "port": self.port,
            "passed": self.passed,
            "outcome": self.outcome(),
            "twins": self.twins,
            "seed": self.seed,
            "environment": dict(self.environment),
            "first_difference": None
            if self.first_difference is None
            else asdict(self.first_difference),
            "narrowings": [asdict(item) for item in self.narrowings],
            "rungs": [asdict(rung) for rung in self.rungs],
        }
        cleaned: dict[str, Any] = _finite(plain)
        return cleaned

    def to_markdown(self) -> str:
        """The report as a page: a table of rungs, then everything that is not the same."""
        lines = [f"# {self.title}", "", f"**{self.outcome()[0].upper()}{self.outcome()[1:]}.**", ""]
        lines += ["| rung | side | verdict | worst tensor | ratio |", "|---|---|---|---|---|"]
        for rung in self.rungs:
            ratio = "" if rung.ratio is None else f"{rung.ratio:.2g}"
            tensor = f"`{rung.tensor}`" if rung.tensor else ""
            lines.append(f"| {rung.rung} | {rung.side} | {rung.verdict} | {tensor} | {ratio} |")
        limits = f"same up to {SAME:.0f}, differs from {DIFFERS:.0f}"
        lines += ["", f"Ratio: largest difference over the noise of rounding; {limits}.", ""]
        first = self.first_difference
        if first is not None:
            lines += [f"First difference: {difference_head(first)}", ""]
            lines += [*(f"- {line}" for line in difference_lines(first)), ""]
        for line in self._rungs_told():
            lines += [line, ""]
        return "\n".join(lines).rstrip() + "\n"

    def story(self) -> list[str]:
        """Every rung that is not plainly the same, in full, and the first difference."""
        lines = []
        if self.first_difference is not None:
            lines += difference_story(self.first_difference)
        return lines + self._rungs_told()

    def _rungs_told(self) -> list[str]:
        return [rung_story(r) for r in self.rungs if r.verdict != "same" or r.note]


def from_json(stored: Mapping[str, Any]) -> PortReport:
    """A report from what `to_json` gave. Raises ResultError for another schema."""
    if stored.get("schema") != SCHEMA:
        raise ResultError(f"schema: {stored.get('schema')!r} given; allowed is {SCHEMA!r}")
    rungs = []
    for rung in stored["rungs"]:
        findings = tuple(Finding(**_numbers(f, ("index",))) for f in rung["findings"])
        rungs.append(PortRung(**{**_numbers(rung), "findings": findings}))
    first = stored["first_difference"]
    return PortReport(
        original=stored["original"],
        port=stored["port"],
        rungs=tuple(rungs),
        first_difference=None if first is None else Difference(**_numbers(first, ("also",))),
        narrowings=tuple(Narrowing(**item) for item in stored["narrowings"]),
        twins=stored["twins"],
        seed=stored["seed"],
        environment=stored["environment"],
    )


def _numbers(stored: Mapping[str, Any], tuples: tuple[str, ...] = ()) -> dict[str, Any]:
    """Fields with the words for what is no finite number as numbers again."""
    fields: dict[str, Any] = {
        name: float(value) if name in NUMBERS and isinstance(value, str) else value
        for name, value in stored.items()
    }
    return fields | {name: tuple(fields[name]) for name in tuples if name in fields}


def worst_of(findings: tuple[Finding, ...]) -> Finding | None:
    """The finding that decides a rung."""
    exercised = [f for f in findings if f.verdict != "not exercised"]
    if not findings:
        return None
    return max(
        exercised or findings,
        key=lambda f: (VERDICTS.index(f.verdict), -1.0 if f.ratio is None else f.ratio),
    )


def rung_story(rung: PortRung) -> str:
    """One rung in a few sentences: the worst tensor, both values, the noise, and what was noted."""
    where = "" if rung.side == "pair" else f" of the {rung.side}"
    parts = [f"{rung.verdict}: {rung.rung}{where}"]
    worst = rung.worst
    if worst is not None and rung.verdict in ("differs", "undecided"):
        parts.append(_element(worst))
        count = sum(f.verdict == rung.verdict for f in rung.findings)
        if len(rung.findings) > 1:
            parts.append(f"{count} of {len(rung.findings)} tensors {_verb(rung.verdict)}")
    parts += [text for text in (rung.explanation, rung.note) if text]
    return "; ".join(parts)


def _verb(verdict: Verdict) -> str:
    return "differ" if verdict == "differs" else "are undecided"


def _element(worst: Finding) -> str:
    name = worst.tensor if worst.tensor == worst.port else f"{worst.tensor} and {worst.port}"
    if worst.note and worst.ratio is None:
        return f"{name}: {worst.note}"
    at = f"[{', '.join(map(str, worst.index))}]" if worst.index else ""
    values = f"{worst.original_value!r} and {worst.port_value!r}"
    noise = "" if worst.noise is None else f", noise {worst.noise:.2g}"
    ratio = "" if worst.ratio is None else f", ratio {worst.ratio:.3g}"
    return f"{name}{at}: {values}{noise}{ratio}{f', {worst.note}' if worst.note else ''}"


def difference_story(difference: Difference) -> list[str]:
    """The first difference: where, how large, why, and what would make it the same."""
    return [
        f"First difference: {difference_head(difference)}",
        *(f"  {line}" for line in difference_lines(difference)),
    ]


def difference_head(difference: Difference) -> str:
    """The question, the tensor and the size of the first difference."""
    size = "" if difference.size is None else f", {difference.size:.2g} of the largest value apart"
    return f"{difference.rung}, {difference.tensor}{size}"


def difference_lines(difference: Difference) -> list[str]:
    """The places on both sides, the cause with its evidence, and the trap."""
    places = (
        ("original", difference.module, difference.line),
        ("port", difference.port_module, difference.port_line),
    )
    lines = []
    for label, module, line in places:
        parts = [f"module {module}" if module and not module.startswith("(") else module, line]
        told = ", ".join(part for part in parts if part)
        if told:
            lines.append(f"{label}: {told}")
    also = ", ".join(difference.also[:ALSO])
    more = len(difference.also) - ALSO
    texts = (
        ("also apart by their own code", f"{also}{f' and {more} more' if more > 0 else ''}"),
        ("likely cause, not confirmed" if difference.likely else "cause", difference.cause),
        ("evidence", difference.evidence),
        ("to mend it", difference.remedy),
        ("trap", difference.trap),
    )
    return lines + [f"{label}: {text}" for label, text in texts if text]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
