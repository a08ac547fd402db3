"""Optimizer steps of a JAX model, by a transformation of Optax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import jax
import jax.numpy as jnp
import numpy as np
import optax

from twofold.errors import BadInput
from twofold.port.side import Call, StepAnswer, Stepper
from twofold.port.trees import leaves
from twofold_flax.port.wide import Watch

if TYPE_CHECKING:
    from twofold_flax.port.model import JaxSide


@final
class JaxStepper(Stepper):
    """Gradient, transformation, update, compiled as one; the optimizer's state goes on."""

    def __init__(self, side: JaxSide) -> None:
        self._side = side
        self._transformation = optax.with_extra_args_support(_transformation(side))
        self._state: Any = None
        self._watch: Watch | None = None
        self._run: Any = None

    def step(self, call: Call) -> StepAnswer:
        """One step from the call's tensors. Raises SideFailed."""
        with self._side.session(call):
            operands = self._side.operands(call)
            if self._watch is None:
                self._watch = Watch(wide=call.wide and call.precision == "float64")
                self._run = jax.jit(self._step(self._watch, call))
            with self._watch.on():
                if self._state is None:
                    tree = self._side.trainable_tree(operands[0])
                    self._state = self._transformation.init(tree)
                loss, values, self._state = self._run(self._state, *operands)
            return StepAnswer(
                loss=np.asarray(loss, np.float64),
                tensors={
                    name: np.asarray(value, np.float64)
                    if jnp.issubdtype(value.dtype, jnp.floating)
                    else np.asarray(value)
                    for name, value in values.items()
                },
                casts=self._watch.casts,
            )

    def _step(self, watch: Watch, call: Call) -> Any:
        from twofold_flax.port.model import is_array

        side = self._side

        def step(
            state: Any, values: Any, batch: Any, projection: Any, masks: Any, forced: Any
        ) -> Any:
            watch.expect(masks)

            def total(tree: Any) -> Any:
                trained = side.trainable_values(tree)
                applied = side.apply({**values, **trained}, batch, call, forced)
                flat = dict(leaves(applied.outputs, is_array))
                loss = side.loss(applied.outputs, flat, batch, projection, call)
                return loss, applied.buffers

            tree = side.trainable_tree(values)
            (loss, buffers), gradients = jax.value_and_grad(total, has_aux=True)(tree)
            watch.require_all_used()
            updates, state = self._transformation.update(gradients, state, tree, value=loss)
            new = side.trainable_values(optax.apply_updates(tree, updates))
            return loss, {**values, **buffers, **new}, state

        return step


def _transformation(side: JaxSide) -> Any:
    """The Optax transformation of what was given: itself, or the one inside nnx.Optimizer."""
    given = getattr(side.optimizer, "tx", side.optimizer)
    if not (hasattr(given, "init") and hasattr(given, "update")):
        raise BadInput(
            f"{side.label}: optimizer: {type(given).__name__} given; allowed is a transformation "
            "of Optax, such as optax.adamw(1e-3), or an nnx.Optimizer"
        )
    return given
