"""Module by module: each module of the port gets what the original's modules computed.

Every output of a module of the port is replaced by the original's, in float64. A module is then
judged by what it makes of the right inputs, and only modules whose own code is wrong are apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, final

from twofold.port.judge.batches import Outputs
from twofold.port.judge.forward_rungs import Forward
from twofold.port.side import Answer, Array, Call, Mode, Side, Want
from twofold.port.twins import DIFFERS, SAME, Measured, measure
from twofold.port.where.pairing import around, paired
from twofold.port.where.turns import Turn, turn_between, turns_between

_CALL: Final = re.compile(r"(@\d+)?(\.\d+)?")
TRIALS: Final = 4
"""Doubtful pairs that are tried without: each costs the port a compilation."""


@final
@dataclass(frozen=True)
class Local:
    """A call of a module of both sides, judged with the original's inputs; "" is the model."""

    original: str
    port: str
    measured: Measured

    @property
    def wrong(self) -> bool:
        """Whether its own code computes something else."""
        return self.measured.ratio is not None and self.measured.ratio >= DIFFERS

    @property
    def right(self) -> bool:
        """Whether its own code is the same function. Not a number is never the same."""
        return self.measured.ratio is not None and self.measured.ratio <= SAME


@final
class Forcing:
    """Both sides in one mode with all modules' outputs; the original's runs are made once."""

    def __init__(self, forward: Forward, mode: Mode) -> None:
        self.forward = forward
        self.mode: Mode = mode
        self.twins = forward.twins + 1
        self.original = [self._asked(0, twin) for twin in range(self.twins)]
        self._plain = self._asked(1, 0)
        subject = forward.subject
        self.modules = paired(
            _sizes(self.original[0].modules, subject.original),
            _sizes(self._plain.modules, subject.port),
            subject.weights.links,
        )
        self._forget_doubtful()

    def call(self, side: int, twin: int, want: set[Want] | None = None) -> Call:
        """The call of a side with nothing forced."""
        wanted: set[Want] = {"outputs", "modules"} if want is None else want
        training = self.mode == "training"
        calls = self.forward.subject.calls(
            self.mode,
            wanted,
            twin=twin,
            projections=self.forward.projections,
            masks=(self.forward.masks,) * 2 if training else ((), ()),
        )
        return calls[side]

    def _asked(self, side: int, twin: int) -> Answer:
        subject = self.forward.subject
        return (subject.original, subject.port)[side].answer(self.call(side, twin))

    @cached_property
    def places(self) -> dict[str, str]:
        """Calls of the original's modules to those of the port, in the order of the original."""
        return {place: other for place, other in self._calls().items() if place in self.turns}

    @cached_property
    def turns(self) -> dict[str, Turn]:
        """How the outputs of the original's modules lie in the port."""
        mine, theirs = self.original[0].modules, self._plain.modules
        return turns_between({a: (mine[a], theirs[b]) for a, b in self._calls().items()})

    def _calls(self) -> dict[str, str]:
        found = {}
        for place in self.original[0].modules:
            module = self._module(place, self.modules)
            if module is None:
                continue
            other = self.modules[module] + place.removeprefix(module)
            if other in self._plain.modules:
                found[place] = other
        return found

    def _module(self, place: str, modules: Mapping[str, str]) -> str | None:
        """The module whose call a place is."""
        for module in (place, place.rpartition(".")[0], place.partition("@")[0]):
            if module in modules and _CALL.fullmatch(place.removeprefix(module)):
                return module
        return None

    def forced(self, side: int, twin: int) -> dict[str, Array]:
        """The original's outputs, for the modules of a side."""
        values = self.original[twin].modules
        if side == 0:
            return {place: values[place] for place in self.places}
        return {other: self.turns[place](values[place]) for place, other in self.places.items()}

    @cached_property
    def port(self) -> list[Answer]:
        """The port's runs with the original's inputs for every module."""
        side = self.forward.subject.port
        return [
            side.answer(replace(self.call(1, twin), forced=self.forced(1, twin)))
            for twin in range(self.twins)
        ]

    @cached_property
    def found(self) -> list[Local]:
        """Every module that both sides have, and last the model's own code around them."""
        found = [
            Local(place, other, self.measured(place, self.original))
            for place, other in self.places.items()
        ]
        return [*found, Local("", "", self.measured("", self.original))]

    def measured(self, place: str, original: list[Answer]) -> Measured:
        """A place of runs of the original against the port's forced runs."""
        if place:
            turn, other = self.turns[place], self.places[place]
            runs = [turn(answer.modules[place]) for answer in original]
            return measure(runs, [answer.modules[other] for answer in self.port])
        several = self.measured_outputs(0, original)
        return max(several, key=lambda m: -1.0 if m.ratio is None else m.ratio)

    def measured_outputs(self, side: int, answers: list[Answer]) -> list[Measured]:
        """Every output of runs of one side against the other's runs with forced modules."""
        first, second = (answers, self.port) if side == 0 else (self.original, answers)
        outputs = Outputs(first[0].outputs, second[0].outputs, self.forward.subject.batches)
        return [
            measure(
                [outputs.turned(a, answer.outputs[a]) for answer in first],
                [answer.outputs[b] for answer in second],
            )
            for a, b in outputs.pairs
        ]

    def place_around(self, module: str, side: int, *, inside: bool = True) -> str:
        """The innermost judged place around a running module; the module's own if `inside`."""
        known = set(self.places) if side == 0 else set(self.places.values())
        return module if inside and module in known else around(module.partition("@")[0], known)

    def input_is_wrong(self, place: str, other: str) -> bool:
        """Whether already what a call of a module takes is another than in the original."""
        mine, theirs = self.inputs_of(place, other)
        if not mine:
            both = self.original[0].module_inputs, self.port[0].module_inputs
            return place in both[0] and other in both[1] and _unlike(both[0][place], both[1][other])
        return Local("", "", measure(mine, theirs)).wrong

    def inputs_of(self, place: str, other: str) -> tuple[list[Array], list[Array]]:
        """What a call of a module takes in every run of both sides, in the port's layout.

        Two empty lists where a side does not tell it, or where the counts are unlike.
        """
        runs = [answer.module_inputs.get(place) for answer in self.original]
        others = [answer.module_inputs.get(other) for answer in self.port]
        mine = [value for value in runs if value is not None]
        theirs = [value for value in others if value is not None]
        turn = turn_between(mine[0], theirs[0]) if mine and theirs else None
        return ([], []) if turn is None else ([turn(value) for value in mine], theirs)

    def _forget_doubtful(self) -> None:
        """Leave out pairs whose borders lie elsewhere: without them nothing around is wrong."""
        links = self.forward.subject.weights.links
        owners = {name.rpartition(".")[0] for link in links for name in link.original}
        for _ in range(TRIALS):
            doubtful = [
                local.original
                for local in self.found
                if local.wrong and self._module(local.original, self.modules) not in {*owners, None}
            ]
            if not any(self._forgotten(place) for place in doubtful[:TRIALS]):
                return

    def _forgotten(self, place: str) -> bool:
        kept = dict(self.modules)
        before = sum(local.wrong for local in self.found)
        module = self._module(place, kept)
        self.modules = {a: b for a, b in kept.items() if a != module}
        self._forget()
        outer = self.place_around(place, 0)
        fewer = before - sum(local.wrong for local in self.found)
        # Without a true pair its fault is that of the module around: then only one place is gone.
        if fewer > 1 or (fewer and next(f.right for f in self.found if f.original == outer)):
            return True
        self.modules = kept
        self._forget()
        return False

    def _forget(self) -> None:
        for name in ("places", "turns", "port", "found"):
            self.__dict__.pop(name, None)


def _unlike(original: Array, port: Array) -> bool:
    """Whether two inputs cannot have the same numbers."""
    return original.size != port.size


def _sizes(outputs: Mapping[str, Array], side: Side) -> dict[str, int]:
    """Modules that ran, with the number of elements of their first output."""
    names = {module.name for module in side.modules()}
    return {name: value.size for name, value in outputs.items() if name in names}
