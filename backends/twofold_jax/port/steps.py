"""Optimizer steps of a JAX model, by a transformation of Optax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import jax
import jax.numpy as jnp
import numpy as np
import optax

from twofold.errors import BadInput
from twofold.port.side import Call, StepAnswer, Stepper
from twofold.port.trees import leaves
from twofold_jax.port.arrays import is_array, number
from twofold_jax.port.operations import constants_of
from twofold_jax.port.wide import Watch

if TYPE_CHECKING:
    from twofold_jax.port.model import JaxSide


@final
class JaxStepper(Stepper):
    """Gradient, transformation, update, compiled as one; the optimizer's state goes on.

    The compiled step is kept by the side, so that the point and its twins share it.
    """

    def __init__(self, side: JaxSide) -> None:
        self._side = side
        self._transformation = optax.with_extra_args_support(_transformation(side))
        self._state: Any = None

    def step(self, call: Call) -> StepAnswer:
        """One step from the call's tensors. Raises SideFailed."""
        side = self._side
        with side.session(call):
            operands = side.operands(call)
            noise = _noise(call, operands[0])
            program = side.program(call, "step", self._step)
            with program.watch.on():
                if self._state is None:
                    self._state = self._transformation.init(side.trainable_tree(operands[0]))
                constants: tuple[float, ...] = ()
                if "sites" in call.want:
                    traced = jax.make_jaxpr(self._step(program.watch, call))
                    constants = constants_of(traced(self._state, noise, *operands).jaxpr)
                loss, values, self._state = program.run(self._state, noise, *operands)
            return StepAnswer(
                loss=np.asarray(loss, np.float64),
                tensors={name: number(value) for name, value in values.items()},
                casts=program.watch.casts,
                constants=constants,
            )

    def _step(self, watch: Watch, call: Call) -> Any:
        # The program outlives this optimizer, and must not keep its state alive.
        side, transformation = self._side, self._transformation

        def step(
            state: Any,
            noise: Any,
            values: Any,
            batch: Any,
            projection: Any,
            masks: Any,
            forced: Any,
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
            moved = side.trainable_tree({**values, **noise})
            gradients = jax.tree.map(lambda g, by: jnp.where(g == 0, g, g + by), gradients, moved)
            updates, state = transformation.update(gradients, state, tree, value=loss)
            new = side.trainable_values(optax.apply_updates(tree, updates))
            return loss, {**values, **buffers, **new}, state

        return step


def _noise(call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
    """What is added to the gradients: zeros at the point, so that the twins share its program."""
    given = call.gradient_noise
    return {
        name: jnp.asarray(given[name], value.dtype) if name in given else jnp.zeros_like(value)
        for name, value in values.items()
        if jnp.issubdtype(value.dtype, jnp.floating)
    }


def _transformation(side: JaxSide) -> Any:
    """The Optax transformation of what was given: itself, or the one inside nnx.Optimizer."""
    given = getattr(side.optimizer, "tx", side.optimizer)
    if not (hasattr(given, "init") and hasattr(given, "update")):
        raise BadInput(
            f"{side.label}: optimizer: {type(given).__name__} given; allowed is a transformation "
            "of Optax, such as optax.adamw(1e-3), or an nnx.Optimizer"
        )
    return given
