"""Randomness: a generator that moves on, and keys that do not."""

from __future__ import annotations

import jax
import numpy as np
import torch
from twofold import Experiment, open_session, prepare

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

LESSON = prepare(
    Experiment.load("lesson").with_values(device="cpu")
)


def with_pytorch() -> Values:
    torch.manual_seed(0)
    first, second = torch.randn(3), torch.randn(3)
    torch.manual_seed(0)
    again = torch.randn(3)

    generator = torch.Generator().manual_seed(0)  # one's own
    apart = torch.randn(3, generator=generator)
    session = open_session(LESSON, "torch:eager")
    return {
        "first numbers from seed 0": first,
        "same seed, same numbers": bool((first == again).all()),
        "asked twice": "same"
        if (first == second).all()
        else "new",
        "a stream of one's own": bool((first == apart).all()),
        "dropout, Twofold's shared masks": session.masks(64)[0],
    }


def with_jax() -> Values:
    key = jax.random.key(0)
    first, second = (jax.random.normal(key, 3) for _ in range(2))
    again = jax.random.normal(jax.random.key(0), 3)

    one, two = jax.random.split(key)  # streams of one's own
    apart = jax.random.normal(one, 3), jax.random.normal(two, 3)
    session = open_session(LESSON, "flax:jit")
    return {
        "first numbers from seed 0": first,
        "same seed, same numbers": bool((first == again).all()),
        "asked twice": "same"
        if (first == second).all()
        else "new",
        "a stream of one's own": bool(
            (apart[0] != apart[1]).all()
        ),
        "dropout, Twofold's shared masks": session.masks(64)[0],
    }


def with_numpy() -> Values:
    generator = np.random.default_rng(0)
    first = generator.standard_normal(3)
    second = generator.standard_normal(3)
    again = np.random.default_rng(0).standard_normal(3)
    return {
        "first numbers from seed 0": first,
        "same seed, same numbers": bool((first == again).all()),
        "asked twice": "same"
        if (first == second).all()
        else "new",
    }


TOPIC = Topic(
    title="Randomness",
    about="""PyTorch and NumPy draw from a generator whose state moves on with every call. JAX has
    no state: a key always gives the same numbers, and new numbers need a new key, made with
    `jax.random.split` or `fold_in`; Flax hides that in `nnx.Rngs`. Forgetting to split is JAX's
    own silent bug. The same seed means other numbers in each library, so a comparison must draw
    once and share: Twofold computes JAX's threefry bits in both backends, and the dropout masks
    of a step are equal bit for bit.""",
    pytorch=with_pytorch,
    jax=with_jax,
    numpy=with_numpy,
    different={
        "first numbers from seed 0": Different(
            "three generators, three streams",
            pytorch=[1.5409961, -0.2934289, -2.1787894],
            jax=[1.6226422, 2.0252647, -0.4335944],
            numpy=[0.1257302, -0.1321049, 0.6404227],
        ),
        "asked twice": Different(
            "a JAX key does not move on",
            pytorch="new",
            jax="same",
            numpy="new",
        ),
    },
)

if __name__ == "__main__":
    show(TOPIC)
