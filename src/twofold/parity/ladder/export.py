"""Export and import: the state through a file into the other framework and back, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from twofold.backends import installed
from twofold.engines import registry
from twofold.parity.judging.comparison import Comparison, compare, compare_exactly, not_finite
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.steplocked import worse_of
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded
from twofold.parity.oracle.network import forward
from twofold.problem import checkpoint
from twofold.problem.state import Array, TrainState
from twofold.temporary import temporary_folder

NAME: Final = "export and import"


@dataclass(frozen=True)
class Transfer:
    """A state on its way: as it was, in the other engine, and back; and what the other makes of it.

    `logits` are the other engine's, in evaluation mode, on the warm moment's inputs.
    """

    elsewhere: str
    original: TrainState
    imported: TrainState
    returned: TrainState
    logits: Array

    def arrived(self) -> dict[str, Array]:
        """Every tensor at both places, by name."""
        elsewhere = flat(self.imported, f"in {self.elsewhere}")
        return {**elsewhere, **flat(self.returned, "and back")}

    def sent(self, state: TrainState) -> dict[str, Array]:
        """What `arrived` answers if a state arrives as it is at both places."""
        return {**flat(state, f"in {self.elsewhere}"), **flat(state, "and back")}


def export_and_import_rung(subject: Subject) -> Rung:
    """This engine's state, written and read, imported elsewhere, exported there, and back here.

    Elsewhere is the first engine of the other backend if its framework is installed, else a fresh
    session of this one. Its logits are certified; every state on the way is equal in all bits.
    A state whose parameters are not finite cannot be judged: no checkpoint holds it.
    """
    reference = subject.reference
    spoilt = not_finite(subject.session.state())
    if spoilt is not None:
        return subject.rung(NAME, spoilt)
    transfer = transferred(subject)
    elsewhere = transfer.elsewhere
    equal = compare_exactly(transfer.arrived(), transfer.sent(transfer.original))
    if not equal.within:
        return subject.rung(NAME, equal)
    allowed = forward(
        reference.problem.experiment,
        transfer.original,
        reference.warm.batch.inputs,
        None,
        reference.arithmetic,
    )
    logits = compare_logits(transfer, allowed, reference.arithmetic)
    if not logits.within:
        note = f"{elsewhere} with the imported parameters: {logits.note}"
        return subject.rung(NAME, replace(logits, note=note))
    note = f"{equal.elements:,} elements equal bit for bit in {elsewhere} and back, logits there"
    return subject.rung(NAME, replace(worse_of(logits, equal), note=note))


def transferred(subject: Subject) -> Transfer:
    """Send the session's state through a file into the other engine and back."""
    session, reference = subject.session, subject.reference
    original = session.state()
    elsewhere = partner_of(subject)
    partner = registry.open_session(reference.problem, elsewhere)
    partner.load_state(_through_a_file(original))
    imported = partner.state()
    session.load_state(_through_a_file(imported))
    logits = partner.logits(reference.warm.batch.inputs)
    return Transfer(elsewhere, original, imported, session.state(), logits)


def compare_logits(transfer: Transfer, allowed: Bounded, arithmetic: Arithmetic) -> Comparison:
    """The other engine's logits and what the oracle allows."""
    name = f"logits in {transfer.elsewhere}"
    return compare({name: transfer.logits}, {name: allowed}, arithmetic)


def partner_of(subject: Subject) -> str:
    """The first engine of the first other backend that can run the experiment here.

    This engine itself where there is none.
    """
    experiment = subject.reference.problem.experiment
    for other in installed.backends():
        unable = other.missing_frameworks() or other.refusals(experiment)
        if other.name != subject.backend.name and not unable:
            return other.full_name(other.engines[0].name)
    return subject.session.engine


def flat(state: TrainState, where: str) -> dict[str, Array]:
    """Everything in a state as one table of named arrays, the step among them."""
    arrays = {f"{name} {where}": array for name, array in state.tensors.items()}
    return {**arrays, f"step {where}": np.asarray(state.step)}


def _through_a_file(state: TrainState) -> TrainState:
    with temporary_folder() as folder:
        return checkpoint.load(checkpoint.save(state, folder / "state.safetensors"))
