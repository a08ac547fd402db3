"""What a call of a jitted function costs before it computes anything."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from comparisons.claims.claim import Findings
from comparisons.claims.paired import in_turns
from comparisons.claims.studies.engines import SIZES, Size
from twofold import Experiment, open_session, prepare

ARRAYS = 20  # three layers with weight and bias, two moments of each, a step and a loss


def jit_dispatch(quick: bool) -> Findings:
    """Time of a training step, and of a jitted call with as many arrays that hold one number."""
    sizes = SIZES[:2] if quick else SIZES
    return {
        "conditions": f"flax:jit, the lesson's network; against a jitted call that adds one to "
        f"{ARRAYS} arrays of one element, whose time is the cost of calling",
        "cases": [
            {"size": size.text, "timed": case(size, 0.5 if quick else 3.0)} for size in sizes
        ],
    }


def case(size: Size, seconds: float) -> dict[str, Any]:
    experiment = Experiment.load("lesson").with_values(
        model__hidden=(size.width, size.width),
        data__batch_size=size.batch,
        data__drop_last=True,
    )
    session = open_session(prepare(experiment), "flax:jit")
    state = [jnp.zeros(1) for _ in range(ARRAYS)]
    call = jax.jit(lambda arrays: [array + 1 for array in arrays])
    return in_turns(
        {
            "step": lambda: session.run(1),
            "call": lambda: jax.block_until_ready(call(state)),
        },
        seconds=seconds,
    )
