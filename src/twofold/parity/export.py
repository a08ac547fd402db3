"""Export and import: the state through a file into the other framework and back, bit for bit."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from twofold import backends, checkpoint
from twofold.oracle.network import forward
from twofold.parity.comparison import compare, compare_exactly
from twofold.parity.steplocked import worse_of
from twofold.parity.subject import Subject
from twofold.parity.verdict import Rung
from twofold.state import Array, TrainState

NAME: Final = "export and import"


def export_and_import_rung(subject: Subject) -> Rung:
    """This engine's state, written and read, imported elsewhere, exported there, and back here.

    Elsewhere is the first engine of the other backend if its framework is installed, else a fresh
    session of this one. Its logits are certified; every state on the way is equal in all bits.
    """
    reference, session = subject.reference, subject.session
    original = session.state()
    elsewhere = partner_of(subject)
    partner = backends.open_session(reference.problem, elsewhere)
    partner.load_state(_through_a_file(original))
    imported = partner.state()
    session.load_state(_through_a_file(imported))
    returned = session.state()
    equal = compare_exactly(
        {**flat(imported, f"in {elsewhere}"), **flat(returned, "and back")},
        {**flat(original, f"in {elsewhere}"), **flat(original, "and back")},
    )
    if not equal.within:
        return subject.rung(NAME, equal)
    inputs = reference.warm.batch.inputs
    allowed = forward(
        reference.problem.experiment, original.parameters, inputs, (), reference.arithmetic
    )
    logits = compare(
        {f"logits in {elsewhere}": partner.logits(inputs)},
        {f"logits in {elsewhere}": allowed.logits},
        reference.arithmetic,
    )
    if not logits.within:
        note = f"{elsewhere} with the imported parameters: {logits.note}"
        return subject.rung(NAME, replace(logits, note=note))
    note = f"{equal.elements:,} elements equal bit for bit in {elsewhere} and back, logits there"
    return subject.rung(NAME, replace(worse_of(logits, equal), note=note))


def partner_of(subject: Subject) -> str:
    """The first engine of the first other backend whose framework is here, else this engine."""
    for name in backends.BACKENDS:
        other = backends.backend(name)
        if name != subject.backend.name and not other.missing_frameworks():
            return f"{name}:{other.engines[0].name}"
    return subject.session.engine


def flat(state: TrainState, where: str) -> dict[str, Array]:
    """Everything in a state as one table of named arrays, the step among them."""
    arrays = {f"{name} {where}": array for name, array in state.parameters.items()}
    for slot, tensors in state.slots.items():
        arrays |= {f"{slot}:{name} {where}": array for name, array in tensors.items()}
    return {**arrays, f"step {where}": np.asarray(state.step)}


def _through_a_file(state: TrainState) -> TrainState:
    with tempfile.TemporaryDirectory(prefix="twofold-") as folder:
        return checkpoint.load(checkpoint.save(state, Path(folder) / "state.safetensors"))
