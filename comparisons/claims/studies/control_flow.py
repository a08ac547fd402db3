"""Plain Python functions, unchanged, in four ways of running them."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp
import torch

from comparisons.claims.claim import Findings


def branch_on_a_value(x: Any) -> Any:
    if x.sum() > 0:
        return x * 2
    return x - 1


def loop_until_small(x: Any) -> Any:
    while (x * x).sum() > 1:
        x = x / 2
    return x


def loop_as_often_as_a_value_says(x: Any) -> Any:
    for _ in range(int(x[0])):
        x = x + 1
    return x


def leave_a_loop_early(x: Any) -> Any:
    total = x[0] * 0
    for value in x:
        if value > 2:
            break
        total = total + value
    return total


def keep_some_elements(x: Any) -> Any:
    return x[x > 1]


def convert_to_a_number(x: Any) -> Any:
    return x * float(x.max())


def branch_on_a_shape(x: Any) -> Any:
    return x.reshape(2, 2) if x.shape[0] == 4 else x


def loop_a_fixed_number_of_times(x: Any) -> Any:
    for _ in range(3):
        x = x * 2
    return x


def print_a_value(x: Any) -> Any:
    print("sum:", float(x.sum()) if not isinstance(x, jax.core.Tracer) else x.sum())
    return x + 1


FUNCTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    branch_on_a_value,
    loop_until_small,
    loop_as_often_as_a_value_says,
    leave_a_loop_early,
    keep_some_elements,
    convert_to_a_number,
    branch_on_a_shape,
    loop_a_fixed_number_of_times,
)
VALUES: Final = (2.0, 1.0, 3.0, 0.5)


def python_control_flow(quick: bool) -> Findings:
    """Which functions run as written and give what they give in PyTorch run eagerly."""
    del quick  # this takes a second either way
    # A graph break is no news here: what counts is whether the function runs.
    torch._logging.set_logs(dynamo=logging.ERROR)  # type: ignore[attr-defined]  # not in its __all__
    ways: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
        "torch eager": lambda f: f(torch.tensor(VALUES)),
        # The capture decides what is allowed; generating code for it would change nothing here.
        "torch.compile": lambda f: torch.compile(f, backend="eager")(torch.tensor(VALUES)),
        "jax op by op": lambda f: f(jnp.array(VALUES)),
        "jax.jit": lambda f: jax.jit(f)(jnp.array(VALUES)),
    }
    outcomes = {way: {f.__name__: outcome(f, run) for f in FUNCTIONS} for way, run in ways.items()}
    return {
        "conditions": f"{len(FUNCTIONS)} functions of 2 to 6 lines with Python's own `if`, "
        "`while`, `for` and `break`, and one with `print`, run unchanged; torch.compile with "
        'backend="eager", which captures the graph and generates no code',
        "outcomes": outcomes,
        "prints": {way: printed(run) for way, run in ways.items()},
    }


def outcome(function: Callable[[Any], Any], run: Callable[[Callable[[Any], Any]], Any]) -> str:
    """`right`, `wrong`, or the class of the error."""
    expected = torch.as_tensor(function(torch.tensor(VALUES))).tolist()
    try:
        return "right" if run(function).tolist() == expected else "wrong"
    except Exception as error:  # which error it is, is the finding
        return type(error).__name__


def printed(run: Callable[[Callable[[Any], Any]], Any]) -> dict[str, Any]:
    """What a print inside the function shows: the value, or something else; on two calls."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        run(print_a_value)
    shown = text.getvalue().strip()
    return {"shown": shown, "shows the value": "6.5" in shown}
