"""One question, asked of both sides at the point and at every twin, and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

import numpy as np

from twofold.port.judge.batches import Outputs
from twofold.port.judge.findings import finding
from twofold.port.judge.shelf import Shelf
from twofold.port.judge.subject import Subject
from twofold.port.report import Finding, Narrowing
from twofold.port.side import Answer, Array, Call, Side
from twofold.port.twins import MORE_TWINS, Measured, measure
from twofold.port.weights import Link
from twofold.port.weights.links import What

OUTPUTS: Final = "output"
GRADIENTS: Final = "gradient"
BUFFERS: Final = "buffer"
LOSS: Final = "loss"
AGAIN: Final = 2.0**-40
"""Share of the largest number by which a second answer may be off: threads may sum in any order."""

Asker: TypeAlias = Callable[[int], tuple[Call, Call]]
"""From a twin's number to the call of each side."""


@final
@dataclass
class Told:
    """What sides said beside their numbers."""

    narrowings: dict[Narrowing, int] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def hear(self, side: str, label: str, answer: Answer) -> None:
        """Keep what an answer tells."""
        for cast in answer.casts:
            found = Narrowing(side, cast.where, cast.source, cast.target)
            self.narrowings[found] = max(self.narrowings.get(found, 0), cast.count)
        for note in answer.notes:
            self.notes[f"{label}: {note}"] = None
        if answer.draws:
            shown = ", ".join(answer.draws[:3])
            self.notes[
                f"{label}: random numbers other than dropout masks are drawn ({shown}), on each "
                "side in its own way; give them as inputs to compare them"
            ] = None


@final
class Question:
    """The runs of one question. Close it when it is measured."""

    def __init__(self, subject: Subject, ask: Asker, twins: int) -> None:
        self.subject = subject
        self.told = Told()
        self._ask = ask
        self._shelves = (Shelf(), Shelf())
        self._runs = 0
        self._twins = twins

    @classmethod
    def of(cls, subject: Subject, shelves: tuple[Shelf, Shelf]) -> Question:
        """What has run already, to be measured."""
        question = cls(subject, _asks_nothing, 0)
        question._shelves = shelves
        question._runs = 1
        return question

    def __enter__(self) -> Question:
        if not self._runs:
            self.run(self._twins)
        return self

    def __exit__(self, *_: object) -> None:
        for shelf in self._shelves:
            shelf.close()

    def run(self, twins: int) -> None:
        """Run the point, if it has not run, and this many twins more."""
        first = self._runs
        last = first + twins + (first == 0)
        for place, (side, label) in enumerate(self._sides()):
            for twin in range(first, last):
                call = self._ask(twin)[place]
                answer = side.answer(call)
                self.told.hear(label, side.label, answer)
                self._shelves[place].add(flat_answer(answer, call, side))
        self._runs = last

    def _sides(self) -> tuple[tuple[Side, str], tuple[Side, str]]:
        return (self.subject.original, "original"), (self.subject.port, "port")

    def judged(self, kinds: Callable[[], list[Finding]]) -> list[Finding]:
        """Findings, measured again with more twins where a ratio is between the verdicts."""
        found = kinds()
        if any(f.verdict == "undecided" and f.ratio is not None for f in found):
            self.run(MORE_TWINS)
            found = kinds()
        return found

    def point(self, side: int, kind: str) -> dict[str, Array]:
        """The numbers of one kind at the point, by their own names."""
        shelf = self._shelves[side]
        prefix = f"{kind}:"
        return {
            name.removeprefix(prefix): shelf.one(name, 0)
            for name in shelf.names()
            if name.startswith(prefix)
        }

    def outputs(self, pairs: Outputs) -> list[Finding]:
        """Every output by its path, in the port's layout."""
        a, b = self._shelves
        found = []
        for path, other in pairs.pairs:
            runs = [pairs.turned(path, run) for run in a.runs(f"{OUTPUTS}:{path}")]
            name = path or OUTPUTS
            found.append(
                finding(name, other or OUTPUTS, measure(runs, b.runs(f"{OUTPUTS}:{other}")))
            )
        return found

    def loss(self) -> list[Finding]:
        """The loss."""
        a, b = self._shelves
        return [finding(LOSS, LOSS, measure(a.runs(f"{LOSS}:"), b.runs(f"{LOSS}:")))]

    def tensors(
        self, kind: str, links: Iterable[Link], reference: Callable[[Link], float] | None = None
    ) -> Iterator[tuple[Link, str, Measured]]:
        """Tensors link by link in the original's names and layouts.

        In the port's are values of merged ones, and of one that is several in the port, which may
        have been trained apart.
        """
        a, b = self._shelves
        for link in links:
            names = [f"{kind}:{n}" for n in link.original], [f"{kind}:{n}" for n in link.port]
            if not all(n in a for n in names[0]) or not all(n in b for n in names[1]):
                continue
            in_port = kind != GRADIENTS and _has_more_in_port(link)
            size = 0.0 if reference is None else reference(link)
            with closing(self._carried(kind, link, in_port=in_port)) as carried:
                for name in link.port if in_port else link.original:
                    if name not in carried:
                        continue
                    full = f"{kind}:{name}"
                    kept = b.stored(full) if in_port else a.stored(full)
                    runs = carried.stored(name)
                    pair = (runs, kept) if in_port else (kept, runs)
                    yield link, name, measure(*pair, size)

    def _carried(self, kind: str, link: Link, *, in_port: bool) -> Shelf:
        """All runs of a link's tensors on one side, in the names and layouts of the other."""
        source, names = (0, link.original) if in_port else (1, link.port)
        weights = self.subject.weights
        carry = weights.to_port if in_port else weights.to_original
        what: What = "gradients" if kind == GRADIENTS else "values"
        shelf, carried = self._shelves[source], Shelf()
        for run in range(len(shelf.stored(f"{kind}:{names[0]}"))):
            carried.add(carry({n: shelf.one(f"{kind}:{n}", run) for n in names}, what))
        return carried

    def both_runs(self, kind: str, link: Link) -> list[tuple[dict[str, Array], dict[str, Array]]]:
        """All runs of a link's tensors, of both sides in the original's names and layouts."""
        a, b = self._shelves
        runs_a = _by_run(link.original, [a.runs(f"{kind}:{n}") for n in link.original])
        runs_b = _by_run(link.port, [b.runs(f"{kind}:{n}") for n in link.port])
        back = [self.subject.weights.to_original(run) for run in runs_b]
        return list(zip(runs_a, back, strict=True))

    def fickle(self) -> list[str]:
        """The sides that answer differently when they are asked the same question again."""
        found = []
        for place, (side, _) in enumerate(self._sides()):
            call = self._ask(0)[place]
            again = flat_answer(side.answer(call), call, side)
            for name, value in again.items():
                first = self._shelves[place].one(name, 0)
                if first.shape != value.shape or _apart(first, value):
                    found.append(side.label)
                    break
        return found

    def runs_of(self, name: str) -> tuple[list[Array], list[Array]]:
        """All runs of what both sides call the same."""
        return self._shelves[0].runs(name), self._shelves[1].runs(name)

    def close_to(self, links: Iterable[Link], kind: str) -> float:
        """The root mean square of the largest tensor of a kind, as the size of its numbers."""
        a = self._shelves[0]
        sizes = [
            float(np.sqrt(np.mean(np.square(value))))
            for link in links
            for name in link.original
            if f"{kind}:{name}" in a and (value := a.one(f"{kind}:{name}", 0)).size
        ]
        finite = [size for size in sizes if np.isfinite(size)]
        return max(finite, default=0.0)


def _asks_nothing(twin: int) -> tuple[Call, Call]:
    raise AssertionError(f"twin {twin}: these runs are complete")


def flat_answer(answer: Answer, call: Call, side: Side) -> dict[str, Array]:
    """An answer as one run of a shelf. A parameter that the loss does not reach has gradient 0."""
    run = {f"{OUTPUTS}:{path}": value for path, value in answer.outputs.items()}
    if answer.loss is not None and {"loss", "gradients"} & call.want:
        run[f"{LOSS}:"] = answer.loss
    run |= {f"{GRADIENTS}:{name}": value for name, value in answer.gradients.items()}
    run |= {f"{BUFFERS}:{name}": value for name, value in answer.buffers.items()}
    if answer.unreached:
        shapes = {tensor.name: tensor.value.shape for tensor in side.tensors()}
        for name in answer.unreached:
            run[f"{GRADIENTS}:{name}"] = np.zeros(shapes[name])
    return run


def _has_more_in_port(link: Link) -> bool:
    """Whether values can be compared in the port's layout only: they may not be a copy there."""
    return link.kind == "merged" or (link.kind == "tied" and len(link.original) < len(link.port))


def _apart(first: Array, again: Array) -> bool:
    """Whether two answers to one question are further apart than a few roundings."""
    a, b = np.asarray(first, np.float64), np.asarray(again, np.float64)  # masks are of truth values
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return True
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.where(a == b, 0.0, a - b))
    size = float(np.abs(a[np.isfinite(a)]).max(initial=0.0))
    return bool((apart > AGAIN * size).any())


def _by_run(names: tuple[str, ...], runs: list[list[Array]]) -> list[dict[str, Array]]:
    return [dict(zip(names, values, strict=True)) for values in zip(*runs, strict=True)]
