"""Calls with a state that goes on, such as a decoder's cache: a model asked token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.errors import BadInput
from twofold.port.trees import leaves, mapped

AXIS = 1


def token_by_token(
    step: Callable[..., Any], first: Callable[..., Any] | None = None, *, axis: int = AXIS
) -> Callable[..., list[Any]]:
    """A `call=` for any side that asks the model one token at a time, and keeps its state.

    `step(model, state, token)` returns the next state and an output, in this order. `token` is the
    batch with one place of `axis` of each array, (batch, length, ...) becomes (batch, ...); arrays
    with fewer axes are as they are. `first(model, batch)` makes the first state; without it that is
    None. For `port.Function` the parameters stand behind the model. What comes out is a list of the
    outputs, which the report names "0", "1" and so on: the first that differs is the first token
    at which the two part. States are not compared. Raises BadInput where lengths are unlike.
    """

    def call(*given: Any) -> list[Any]:
        *model, batch = given
        state = None if first is None else first(*model, batch)
        outputs = []
        for place in range(_length(batch, axis)):
            returned = step(*model, state, _token(batch, axis, place))
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise BadInput(
                    f"token_by_token: step returned a {type(returned).__name__}; allowed is "
                    "(state, output)"
                )
            state, output = returned
            outputs.append(output)
        return outputs

    return call


def _length(batch: Any, axis: int) -> int:
    lengths = {
        path: int(np.shape(item)[axis])
        for path, item in leaves(batch, _is_array)
        if np.ndim(item) > axis
    }
    if len(set(lengths.values())) != 1:
        given = ", ".join(f"{path or 'batch'}: {length}" for path, length in lengths.items())
        raise BadInput(
            f"token_by_token: lengths along axis {axis}: {given or 'none'}; allowed is one length "
            "of all arrays that have this axis"
        )
    return next(iter(lengths.values()))


def _token(batch: Any, axis: int, place: int) -> Any:
    index = (*[slice(None)] * axis, place)
    return mapped(batch, lambda _, item: item[index] if np.ndim(item) > axis else item)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape")
