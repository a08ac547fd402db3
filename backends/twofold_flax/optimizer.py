"""The optimizers in Optax, every hyperparameter passed.

No default of Optax decides anything.
"""

from __future__ import annotations

from typing import Final

import optax

from twofold.experiment import Optimizer
from twofold.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT

SLOT_KEYS: Final = {
    MOMENTUM: "trace",
    FIRST_MOMENT: "mu",
    SECOND_MOMENT: "nu",
}
"""Canonical slot names to the fields of Optax's states (Optax 0.2.8)."""

COUNT_KEY: Final = "count"
"""The field of Optax's states that counts the steps, int32."""


def build_optimizer(spec: Optimizer) -> optax.GradientTransformation:
    """The optimizer of an experiment.

    In SGD and Adam the weight decay is added to the gradient (L2), so it comes first in the
    chain; in AdamW it is decoupled.
    """
    if spec.kind == "sgd":
        return optax.chain(
            optax.add_decayed_weights(spec.weight_decay, mask=None),
            optax.sgd(
                learning_rate=spec.learning_rate,
                momentum=spec.momentum if spec.momentum > 0 else None,
                nesterov=spec.nesterov,
                accumulator_dtype=None,
            ),
        )
    b1, b2 = spec.betas
    if spec.kind == "adam":
        return optax.chain(
            optax.add_decayed_weights(spec.weight_decay, mask=None),
            optax.adam(
                learning_rate=spec.learning_rate,
                b1=b1,
                b2=b2,
                eps=spec.eps,
                eps_root=0.0,
                mu_dtype=None,
                nesterov=False,
            ),
        )
    return optax.adamw(
        learning_rate=spec.learning_rate,
        b1=b1,
        b2=b2,
        eps=spec.eps,
        eps_root=0.0,
        mu_dtype=None,
        weight_decay=spec.weight_decay,
        mask=None,
        nesterov=False,
    )
