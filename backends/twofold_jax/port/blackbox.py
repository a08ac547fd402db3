"""`Step` in JAX: a training step of which only its state, batch and loss are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import jax
import numpy as np

from twofold.errors import BadInput, SideFailed, TwofoldError
from twofold.port.calling import told
from twofold.port.side import Answer, Call, Module, Side, StepAnswer, Stepper, Tensor
from twofold.port.trees import mapped
from twofold.port.weights.use import Use
from twofold_jax.port.arrays import array, number, numpy_value
from twofold_jax.port.model import DTYPES
from twofold_jax.port.wide import Watch


@final
class JaxStep(Side):
    """`function(state, batch)` that returns the next state and the loss, as it is or compiled.

    The state is any tree of arrays; its floats are all moved and compared.
    """

    def __init__(self, function: Callable[[Any, Any], Any], state: Any) -> None:
        self._function = function
        pairs, self._structure = jax.tree_util.tree_flatten_with_path(state)
        self._names = [jax.tree_util.keystr(p, simple=True, separator=".") for p, _ in pairs]
        self._tensors = tuple(
            _tensor(name, numpy_value(leaf))
            for name, (_, leaf) in zip(self._names, pairs, strict=True)
        )
        self._watches: dict[bool, Watch] = {}

    @property
    def label(self) -> str:
        """ "JAX" and the name of the function."""
        return f"JAX {getattr(self._function, '__name__', 'step')}"

    @property
    def only_steps(self) -> bool:
        """A step has no forward of its own."""
        return True

    @property
    def has_loss(self) -> bool:
        """Its loss comes from the step."""
        return True

    @property
    def has_optimizer(self) -> bool:
        """Its optimizer is inside the step."""
        return True

    def tensors(self) -> tuple[Tensor, ...]:
        """Every array of the state."""
        return self._tensors

    def modules(self) -> tuple[Module, ...]:
        """None: the step is a black box."""
        return ()

    def answer(self, call: Call) -> Answer:
        """Not asked of a step."""
        del call
        raise BadInput(f"{self.label}: a step has no forward")

    def first_use(self, call: Call) -> tuple[Use, ...]:
        """Unknown: names and shapes have to do."""
        del call
        return ()

    def stepper(self) -> Stepper:
        """The step itself: it has no state beside the one given."""
        return _Stepper(self)

    def run(self, call: Call) -> StepAnswer:
        """One step in the precision of the call. Raises SideFailed."""
        dtype = DTYPES[call.precision]
        wide = call.wide and call.precision == "float64"
        watch = self._watches.setdefault(wide, Watch(wide=wide))
        try:
            with jax.enable_x64(call.precision == "float64"), watch.on():
                values = [array(call.tensors.get(t.name, t.value), dtype) for t in self._tensors]
                state = jax.tree_util.tree_unflatten(self._structure, values)
                batch = mapped(call.batch, lambda _, item: array(item, dtype))
                returned = self._function(state, batch)
        except TwofoldError:
            raise
        except Exception as error:
            raise SideFailed(f"{self.label}: {told(error)}") from error
        if not isinstance(returned, tuple) or len(returned) != 2:
            given = type(returned).__name__
            raise BadInput(f"{self.label}: {given} returned; allowed is (state, loss)")
        after = jax.tree_util.tree_leaves(returned[0])
        if len(after) != len(self._names):
            raise BadInput(f"{self.label}: the state came back with another structure")
        return StepAnswer(
            loss=np.asarray(returned[1], np.float64),
            tensors={name: number(v) for name, v in zip(self._names, after, strict=True)},
            casts=watch.casts,
        )


@final
class _Stepper(Stepper):
    def __init__(self, side: JaxStep) -> None:
        self._side = side

    def step(self, call: Call) -> StepAnswer:
        """One step. Raises SideFailed."""
        return self._side.run(call)


def _tensor(name: str, value: Any) -> Tensor:
    floats = value.dtype.kind == "f"
    return Tensor(
        name,
        value,
        "parameter" if floats else "buffer",
        trainable=floats,
        attributes={"nonnegative": bool(floats and (value >= 0).all())},
    )
