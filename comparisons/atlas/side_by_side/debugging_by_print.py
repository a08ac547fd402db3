"""Debugging by print: what a print inside a model shows, and how often."""

from __future__ import annotations

import contextlib
import io

import jax
import jax.numpy as jnp
import numpy as np
import torch

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

INPUTS = np.array([1.0, 2.0], np.float32)


def with_pytorch() -> Values:
    def model(x):
        hidden = 2 * x
        print("hidden", hidden.tolist())
        return hidden.sum()

    def printed(function):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            for _ in range(3):
                function(torch.from_numpy(INPUTS))
        return text.getvalue().splitlines()

    eager = printed(model)
    compiled = printed(torch.compile(model, backend="eager"))
    return {
        "lines of 3 calls": len(eager),
        "first line": eager[0],
        "lines of 3 compiled calls": len(compiled),
        "first compiled line": compiled[0],
        "the compiled way to print": compiled[0],
    }


def with_jax() -> Values:
    def model(x):
        hidden = 2 * x
        print(
            "hidden", hidden.tolist() if known(x) else "a tracer"
        )
        return hidden.sum()

    def debugged(x):
        hidden = 2 * x
        jax.debug.callback(
            lambda h: print("hidden", h.tolist()), hidden
        )  # jax.debug.print is this with a format
        return hidden.sum()

    def known(x):
        return not isinstance(x, jax.core.Tracer)

    def printed(function):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            for _ in range(3):
                function(jnp.array(INPUTS))
            jax.effects_barrier()
        return text.getvalue().splitlines()

    eager = printed(model)
    compiled = printed(jax.jit(model))
    return {
        "lines of 3 calls": len(eager),
        "first line": eager[0],
        "lines of 3 compiled calls": len(compiled),
        "first compiled line": compiled[0],
        "the compiled way to print": printed(jax.jit(debugged))[
            0
        ],
    }


TOPIC = Topic(
    title="Debugging by print",
    about="""A print in a PyTorch model prints numbers at every call; compiled, it still does,
    because the graph is broken there. Under `jax.jit` Python runs once, while tracing, so an
    ordinary print shows a tracer once and never again; `jax.debug.print` and `jax.debug.callback`
    become part of the compiled program and print the numbers at every call. `jax.disable_jit()`
    gives the plain behaviour back while looking for a bug.""",
    pytorch=with_pytorch,
    jax=with_jax,
    different={
        "lines of 3 compiled calls": Different(
            "JAX runs the print while tracing only",
            pytorch=3,
            jax=1,
        ),
        "first compiled line": Different(
            "and there are no numbers yet",
            pytorch="hidden [2.0, 4.0]",
            jax="hidden a tracer",
        ),
    },
)

if __name__ == "__main__":
    show(TOPIC)
