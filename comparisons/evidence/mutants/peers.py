"""What the usual comparisons, at their defaults, say of the same tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np

from twofold.engines.session import Session
from twofold.parity.ladder.reference import Moment, Reference
from twofold.problem.state import Array

Tensors = dict[str, Array]
Check = Callable[[Tensors, Tensors], None]


def _torch(computed: Tensors, expected: Tensors) -> None:
    import torch

    torch.testing.assert_close(_as_torch(computed), _as_torch(expected))


def _as_torch(tensors: Tensors) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.array(array, copy=True)) for name, array in tensors.items()}


def _numpy(computed: Tensors, expected: Tensors) -> None:
    assert set(computed) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(computed[name], array, rtol=1e-5, atol=1e-6)


def _chex(computed: Tensors, expected: Tensors) -> None:
    import chex

    chex.assert_trees_all_close(computed, expected)


PEERS: Final[Mapping[str, Check]] = {
    "torch.testing.assert_close": _torch,
    "numpy.testing.assert_allclose(rtol=1e-5, atol=1e-6)": _numpy,
    "chex.assert_trees_all_close": _chex,
}


def caught(check: Check, computed: Tensors, expected: Tensors) -> bool:
    """Whether a comparison raises for these tensors."""
    try:
        check(computed, expected)
    except Exception:  # a mismatch, or tensors that cannot be compared: either is noticed
        return True
    return False


def quantities(session: Session, reference: Reference) -> dict[str, Tensors]:
    """The tensors of every rung, by the rung's name; none where a bug breaks the engine."""
    found: dict[str, Tensors] = {"init": dict(session.state().parameters)}
    last = reference.problem.steps_per_epoch - 1
    found["data order"] = {}
    for step in sorted({0, min(1, last), last, last + 1}):
        batch = session.batch(step)
        found["data order"] |= {f"inputs {step}": batch.inputs, f"targets {step}": batch.targets}
    for rung in ("dropout masks", "forward", "loss", "gradients"):
        found[rung] = {}
        for moment in reference.moments:
            session.load_state(moment.state)
            with suppress(Exception):
                named = ASK[rung](session, moment)
                found[rung] |= {f"{moment.label} {name}": array for name, array in named.items()}
    for moment in reference.moments:
        session.load_state(moment.state)
        found[f"slots ({moment.label})"] = found[f"update ({moment.label})"] = {}
        with suppress(Exception):
            session.step(moment.batch) if moment.label == "fresh" else session.run(1)
            after = session.state()
            found[f"update ({moment.label})"] = {
                **after.parameters,
                "step": np.asarray(after.step),
            }
            found[f"slots ({moment.label})"] = {
                f"{slot}:{name}": array
                for slot, arrays in after.slots.items()
                for name, array in arrays.items()
            }
    return found


def _masks(session: Session, moment: Moment) -> Tensors:
    return {str(n): mask for n, mask in enumerate(session.masks(moment.batch.rows))}


def _logits(session: Session, moment: Moment) -> Tensors:
    inputs = moment.batch.inputs
    return {
        "logits": session.logits(inputs),
        "training logits": session.logits(inputs, training=True),
    }


def _losses(session: Session, moment: Moment) -> Tensors:
    kind = session.problem.dtype
    loss, _ = session.loss_and_gradients(moment.batch)
    return {
        "training loss": np.asarray(loss, kind),
        "loss": np.asarray(session.loss(moment.batch), kind),
    }


def _gradients(session: Session, moment: Moment) -> Tensors:
    return dict(session.loss_and_gradients(moment.batch)[1])


ASK: Final[Mapping[str, Callable[[Session, Moment], Tensors]]] = {
    "dropout masks": _masks,
    "forward": _logits,
    "loss": _losses,
    "gradients": _gradients,
}
