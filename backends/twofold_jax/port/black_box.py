"""`Step` in JAX: a training step of which only its state, batch and loss are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import jax
import numpy as np

from twofold.errors import BadInput, SideFailed, TwofoldError
from twofold.port.black_box import BlackBox, label_of, state_and_loss
from twofold.port.calling import told
from twofold.port.side import Array, Call, StepAnswer, Stepper
from twofold.port.trees import mapped
from twofold_jax.port.arrays import array, number, numpy_value
from twofold_jax.port.model import DTYPES
from twofold_jax.port.wide import Watch


def black_box(function: Callable[[Any, Any], Any], state: Any) -> BlackBox:
    """`function(state, batch)` that returns the next state and the loss, as it is or compiled.

    The state is any tree of arrays.
    """
    label = label_of("JAX", function)
    pairs, structure = jax.tree_util.tree_flatten_with_path(state)
    arrays = {
        jax.tree_util.keystr(path, simple=True, separator="."): numpy_value(leaf)
        for path, leaf in pairs
    }
    return BlackBox(label, arrays, _Stepper(label, function, arrays, structure))


@final
class _Stepper(Stepper):
    def __init__(
        self,
        label: str,
        function: Callable[[Any, Any], Any],
        arrays: Mapping[str, Array],
        structure: Any,
    ) -> None:
        self._label = label
        self._function = function
        self._arrays = arrays
        self._structure = structure
        self._watches: dict[bool, Watch] = {}

    def step(self, call: Call) -> StepAnswer:
        """One step in the precision of the call. Raises SideFailed."""
        dtype = DTYPES[call.precision]
        wide = call.wide and call.precision == "float64"
        watch = self._watches.setdefault(wide, Watch(wide=wide))
        try:
            with jax.enable_x64(call.precision == "float64"), watch.on():
                values = [
                    array(call.tensors.get(name, own), dtype) for name, own in self._arrays.items()
                ]
                state = jax.tree_util.tree_unflatten(self._structure, values)
                batch = mapped(call.batch, lambda _, item: array(item, dtype))
                returned = self._function(state, batch)
        except TwofoldError:
            raise
        except Exception as error:
            raise SideFailed(f"{self._label}: {told(error)}") from error
        state, loss = state_and_loss(returned, self._label)
        after = jax.tree_util.tree_leaves(state)
        if len(after) != len(self._arrays):
            raise BadInput(f"{self._label}: the state came back with another structure")
        return StepAnswer(
            loss=np.asarray(loss, np.float64),
            tensors={name: number(v) for name, v in zip(self._arrays, after, strict=True)},
            casts=watch.casts,
        )
