"""`Step` in PyTorch: a training step of which only its state, batch and loss are known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import torch

from twofold.errors import BadInput, SideFailed, TwofoldError
from twofold.port.calling import told
from twofold.port.side import Answer, Call, Module, Side, StepAnswer, Stepper, Tensor
from twofold.port.trees import leaves, mapped
from twofold.port.weights.use import Use
from twofold_torch.port.describe import array
from twofold_torch.port.live import DTYPES, SEED, tensors_from
from twofold_torch.port.wide import Watch


@final
class TorchStep(Side):
    """`function(state, batch)` that returns the next state and the loss.

    The state is a tree of tensors; its floats are all moved and compared. Each step gets copies.
    """

    def __init__(self, function: Callable[[Any, Any], Any], state: Any) -> None:
        self._function = function
        self._state = state
        self._tensors = tuple(
            _tensor(name, value) for name, value in leaves(state, torch.is_tensor)
        )

    @property
    def label(self) -> str:
        """ "PyTorch" and the name of the function."""
        return f"PyTorch {getattr(self._function, '__name__', 'step')}"

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
        """Every tensor of the state."""
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
        watch = Watch(wide=call.wide and call.precision == "float64", masks=call.masks)

        def given(name: str, own: Any) -> Any:
            value = call.tensors.get(name, array(own) if torch.is_tensor(own) else np.asarray(own))
            return tensors_from(value, dtype).reshape(np.shape(own))

        with _guarded(self.label, dtype), watch:
            state = mapped(self._state, given)
            batch = mapped(call.batch, lambda _, item: tensors_from(item, dtype))
            after, loss = _two(self._function(state, batch), self.label)
            found = dict(leaves(after, torch.is_tensor))
        return StepAnswer(
            loss=_numbers(loss).reshape(()),
            tensors={name: _numbers(value) for name, value in found.items()},
            casts=watch.casts,
        )


@final
class _Stepper(Stepper):
    def __init__(self, side: TorchStep) -> None:
        self._side = side

    def step(self, call: Call) -> StepAnswer:
        """One step. Raises SideFailed."""
        return self._side.run(call)


@contextmanager
def _guarded(label: str, dtype: torch.dtype) -> Iterator[None]:
    """The default type and the generators as they were afterwards; errors told."""
    default = torch.get_default_dtype()
    generators = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        torch.set_default_dtype(dtype if dtype is not torch.bfloat16 else torch.float32)
        torch.manual_seed(SEED)
        yield
    except TwofoldError:
        raise
    except Exception as error:
        raise SideFailed(f"{label}: {told(error)}") from error
    finally:
        torch.set_default_dtype(default)
        torch.set_rng_state(generators[0])
        np.random.set_state(generators[1])
        random.setstate(generators[2])


def _two(returned: Any, label: str) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise BadInput(f"{label}: {type(returned).__name__} returned; allowed is (state, loss)")
    return returned[0], returned[1]


def _tensor(name: str, value: Any) -> Tensor:
    plain = array(value) if torch.is_tensor(value) else np.asarray(value)
    floats = plain.dtype.kind == "f"
    return Tensor(
        name,
        np.array(plain),
        "parameter" if floats else "buffer",
        trainable=floats,
        attributes={"nonnegative": bool(floats and (plain >= 0).all())},
    )


def _numbers(value: Any) -> Any:
    if not torch.is_tensor(value):
        return np.asarray(value)
    plain = value.detach()
    return np.array((plain.double() if plain.is_floating_point() else plain).numpy())
