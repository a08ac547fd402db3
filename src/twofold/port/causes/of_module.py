"""The cause at one module: hypotheses tried there, with the original's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, final

import numpy as np

from twofold.port.causes.hypotheses import Hypothesis
from twofold.port.causes.hypothesis import Clues, Kind
from twofold.port.causes.kinds import KINDS
from twofold.port.causes.relations import SCALED, relation_between, relation_of_raw, with_raw
from twofold.port.causes.sites import Site
from twofold.port.causes.trial import Cause, first_cause
from twofold.port.side import Answer, Array, Call, Side, Want
from twofold.port.trees import leaves
from twofold.port.twins import Measured, measure
from twofold.port.where.forcing import Forcing, Local
from twofold.port.where.operations import LOSS
from twofold.port.where.place import Place

PLAIN: Final = ("constant", "sum", "mean", "select", "flatten", "detach")
"""Kinds of operations of which much is made by hand."""
OF_ORDER: Final = ("order of a join", "offset of positions", "order of flattening")
"""Kinds of causes that give the numbers behind them another order."""


def cause_of_module(forcing: Forcing, place: Place, local: Local) -> Cause | None:
    """The hypothesis with which the call of the module is the same; None where none is one."""
    found = _cause_of_input(forcing, local)
    if found is not None and found.hypothesis.kind not in SCALED:
        makers = [kind for kind in KINDS if kind.name in OF_ORDER]
        return _cause_by_trial(forcing, place, local, makers) or found
    # A missing dropout or another variance scales what comes behind it: what does so is the cause.
    return _cause_by_trial(forcing, place, local) or found


def _cause_by_trial(
    forcing: Forcing, place: Place, local: Local, kinds: Sequence[Kind] = KINDS
) -> Cause | None:
    """The first hypothesis on operations or weights with which the call is the same."""
    subject = forcing.forward.subject
    trial = _Trial(forcing, place, local)
    tensors = trial.tensors()
    for changed in trial.order():
        constants = place.constants[1 - changed] if any(place.constants) else ()
        side = (subject.original, subject.port)[changed]
        owners = {module.name: module.kind for module in side.modules()}
        clues = Clues(trial.sites[changed], constants, tensors, kinds=owners, mode=forcing.mode)
        trial.changed = changed
        cause = first_cause(clues, trial, forcing.twins, changed, kinds)
        if cause is not None:
            return cause
        tensors = {}  # they are tried once
    return None


def _cause_of_input(forcing: Forcing, local: Local) -> Cause | None:
    """The cause, where the module takes what the original takes in another form."""
    if not local.original or not forcing.input_is_wrong(local.original, local.port):
        return None
    original, port = forcing.inputs_of(local.original, local.port)
    if not original:
        return None
    found = relation_between(original, port)
    raw = _raw_inputs(forcing, original[0], len(original))
    if raw and found is None:
        found = relation_of_raw(original, port, raw)
    if found is None:
        return None
    found = with_raw(found, original, port, raw)
    hypothesis = Hypothesis(found.name, f"the {found.name}", found.own, found.other)
    return Cause(hypothesis, found.ratio, 0)


def _raw_inputs(forcing: Forcing, taken: Array, runs: int) -> list[Array]:
    """The array of the batch in every run, as the port takes it, that is like a module's input."""
    found = []
    for twin in range(runs):
        batch = forcing.call(1, twin).batch
        every = [item for _, item in leaves(batch, lambda v: isinstance(v, np.ndarray))]
        found += [v for v in every if v.dtype.kind == "f" and v.shape == taken.shape][:1]
    return found if len(found) == runs else []


@final
class _Trial:
    def __init__(self, forcing: Forcing, place: Place, local: Local) -> None:
        self._forcing = forcing
        self._local = local
        self._subject = forcing.forward.subject
        self._sides: tuple[Side, Side] = self._subject.original, self._subject.port
        self._places = (
            _between(place.module, local.original),
            _between(place.port_module, local.port),
        )
        self.changed = 0
        self.sites = self._own_sites()

    def order(self) -> tuple[int, ...]:
        """The original first, unless only the port has operations that say what they are."""
        told = [any(site.kind not in PLAIN for site in own) for own in self.sites]
        return (1, 0) if told[1] and not told[0] else (0, 1)

    def _own_sites(self) -> list[tuple[Site, ...]]:
        """The operations of the place that can be changed, of each side."""
        want: set[Want] = {"outputs", "modules", "sites"}
        found = []
        for side in (0, 1):
            sites = self._sides[side].answer(self._call(side, 0, want)).sites
            found.append(tuple(site for site in sites if self._has(site.module, side)))
        return found

    def _has(self, module: str, side: int) -> bool:
        return module != LOSS and self._forcing.place_around(module, side) in self._places[side]

    def tensors(self) -> dict[str, Array]:
        """The original's tensors that the place holds, those of unjudged modules in it as well."""
        state = self._subject.state()
        return {name: state[name] for name in state if self._has(name.rpartition(".")[0], 0)}

    def _call(self, side: int, twin: int, want: set[Want] | None = None) -> Call:
        call = self._forcing.call(side, twin, want)
        return replace(call, forced=self._forcing.forced(side, twin))

    def __call__(self, hypothesis: Hypothesis, runs: int) -> float | None:
        """The ratio of the place with the hypothesis."""
        side = self.changed if hypothesis.side is None else hypothesis.side
        answers = [
            self._sides[side].answer(hypothesis.of(self._call(side, twin))) for twin in range(runs)
        ]
        return _largest(self._measured(side, answers))

    def _measured(self, side: int, answers: list[Answer]) -> list[Measured]:
        """Against the other side's own runs."""
        forcing, place, other = self._forcing, self._local.original, self._local.port
        if not place:
            return forcing.measured_outputs(side, answers)
        turn = forcing.turns[place]
        mine = [turn(a.modules[place]) for a in (answers if side == 0 else forcing.original)]
        theirs = [a.modules[other] for a in (answers if side == 1 else forcing.port)]
        return [measure(mine, theirs)]


def _largest(measured: list[Measured]) -> float | None:
    ratios = [m.ratio for m in measured if m.ratio is not None]
    return max(ratios) if ratios and len(ratios) == len(measured) else None


def _between(outer: str, inner: str) -> set[str]:
    """The module whose code parts, the one at which it shows, and those between them."""
    found = {outer, inner}
    path = inner.rpartition(".")[0]
    while path and path != outer:
        found.add(path)
        path = path.rpartition(".")[0]
    return found
