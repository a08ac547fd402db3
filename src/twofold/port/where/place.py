"""The place where a pair parts first, on both sides: modules, lines and how far apart they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

from twofold.errors import TwofoldError
from twofold.port.side import Answer, Mode, Side, Want
from twofold.port.where.forcing import Forcing, Local
from twofold.port.where.lines import departure
from twofold.port.where.operations import LOSS
from twofold.port.where.prints import Known


@final
@dataclass(frozen=True)
class Place:
    """Where the original and the port part, with the lines of both ("" if unknown).

    `local` is the judged call at which it shows, None for the loss. `module` and `port_module` are
    the calls of modules whose own code parts: those around it where already its input is another.
    `also` are the further modules of the port that part on their own.
    """

    mode: Mode
    local: Local | None
    module: str = ""
    port_module: str = ""
    line: str = ""
    port_line: str = ""
    also: tuple[str, ...] = ()
    constants: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())


def module_place(forcing: Forcing) -> Place | None:
    """The first module whose own code parts; None where no module does."""
    wrong = [local for local in forcing.found if local.wrong]
    if not wrong:
        return None
    first = wrong[0]
    module, other = first.original, first.port
    around = [{module}, {other}]
    while module and forcing.input_is_wrong(module, other):
        module = forcing.place_around(module, 0, inside=False)
        other = forcing.places.get(module, "")
        around[0].add(module)
        around[1].add(other)
    lines, constants = _lines(
        forcing,
        {"outputs", "modules", "operations"},
        (_inside(forcing, 0, around[0]), _inside(forcing, 1, around[1])),
        (_inside(forcing, 0, {first.original}), _inside(forcing, 1, {first.port})),
    )
    also = tuple(local.port for local in wrong[1:] if local.port and local.port != other)
    return Place(forcing.mode, first, module, other, *lines, also, constants)


def _inside(forcing: Forcing, side: int, places: set[str]) -> Callable[[str], bool]:
    """Whether code of a running module counts to one of these places."""
    return lambda module: module != LOSS and forcing.place_around(module, side) in places


def loss_place(forcing: Forcing) -> Place:
    """The lines at which two losses of the same outputs part."""

    def is_loss(module: str) -> bool:
        return module == LOSS

    want: set[Want] = {"outputs", "loss", "modules", "operations"}
    lines, constants = _lines(forcing, want, (is_loss, is_loss))
    return Place(forcing.mode, None, LOSS, LOSS, *lines, constants=constants)


def _lines(
    forcing: Forcing,
    want: set[Want],
    own: Sequence[Callable[[str], bool]],
    ends: Sequence[Callable[[str], bool] | None] = (None, None),
) -> tuple[tuple[str, str], tuple[tuple[float, ...], tuple[float, ...]]]:
    """The lines of both sides, and the plain numbers in their own code there."""
    try:
        first, second = (_recorded(forcing, side, want) for side in range(2))
    except TwofoldError:  # what cannot be recorded has no lines; the verdict stands without them
        return ("", ""), ((), ())
    known = [
        Known(print_ for o in run.operations for print_ in o.prints) for run in (first, second)
    ]
    lines = (
        departure(first.operations, own[0], known[1], ends[0]),
        departure(second.operations, own[1], known[0], ends[1]),
    )
    return lines, (_constants(first, own[0]), _constants(second, own[1]))


def _constants(answer: Answer, own: Callable[[str], bool]) -> tuple[float, ...]:
    found = (c for o in answer.operations if own(o.module) for c in o.constants)
    return tuple(dict.fromkeys(found))


def _recorded(forcing: Forcing, side: int, want: set[Want]) -> Answer:
    subject = forcing.forward.subject
    asked: Side = (subject.original, subject.port)[side]
    call = forcing.call(side, 0, want)
    return asked.answer(replace(call, forced=forcing.forced(side, 0)))
