"""`Function`: a pure function of JAX and its tree of parameters as a side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import jax

from twofold.errors import BadInput
from twofold.port.calling import arguments, mode_keywords, parameter_names
from twofold.port.side import Call, Module, Tensor
from twofold_jax.port.arrays import numpy_value
from twofold_jax.port.model import Applied, JaxSide, Values


@final
class Function(JaxSide):
    """`function(parameters, ...)` with what it takes of the batch behind its parameters.

    `call(function, parameters, batch)` calls it in another way. `loss(outputs, batch)` is a scalar;
    `optimizer` is a transformation of Optax.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        parameters: Any,
        *,
        call: Callable[..., Any] | None = None,
        loss: Callable[[Any, Any], Any] | None = None,
        optimizer: Any = None,
    ) -> None:
        super().__init__(call=call, loss=loss, optimizer=optimizer)
        self._function = function
        pairs, self._structure = jax.tree_util.tree_flatten_with_path(parameters)
        self._tensors = tuple(_tensor(path, leaf) for path, leaf in pairs)
        if not self._tensors:
            raise BadInput("Function: the tree of parameters has no arrays")

    @property
    def label(self) -> str:
        """ "JAX" and the name of the function."""
        return f"JAX {getattr(self._function, '__name__', 'function')}"

    def tensors(self) -> tuple[Tensor, ...]:
        """Every leaf of the tree of parameters."""
        return self._tensors

    def modules(self) -> tuple[Module, ...]:
        """None: a function has no modules."""
        return ()

    def apply(self, values: Values, batch: Any, call: Call, forced: Values) -> Applied:
        """Call the function."""
        del forced
        parameters = self.trainable_tree(values)
        training = call.mode == "training"
        if self._call is not None:
            extra = {"training": training} if "training" in parameter_names(self._call) else {}
            return Applied(self._call(self._function, parameters, batch, **extra), {}, {})
        positional, named = arguments(batch, call.inputs, self._function, self.has_loss)
        mode = mode_keywords(self._function, training)
        return Applied(self._function(parameters, *positional, **mode, **named), {}, {})

    def trainable_tree(self, values: Values) -> Any:
        """The person's own tree."""
        return jax.tree_util.tree_unflatten(
            self._structure, [values[t.name] for t in self._tensors]
        )

    def trainable_values(self, tree: Any) -> Values:
        """The leaves of such a tree by name."""
        leaves = jax.tree_util.tree_leaves(tree)
        return {t.name: leaf for t, leaf in zip(self._tensors, leaves, strict=True)}


def _tensor(path: Any, leaf: Any) -> Tensor:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    value = numpy_value(leaf)
    floats = value.dtype.kind == "f"
    return Tensor(name, value, "parameter" if floats else "buffer", trainable=floats)
