"""`Step` in PyTorch: a training step of which only its state, batch and loss are known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import torch

from twofold.errors import SideFailed, TwofoldError
from twofold.port.black_box import BlackBox, label_of, state_and_loss
from twofold.port.calling import told
from twofold.port.side import Array, Call, StepAnswer, Stepper
from twofold.port.trees import leaves, mapped
from twofold_torch.port.describe import array
from twofold_torch.port.live import DTYPES, SEED, tensors_from
from twofold_torch.port.wide import Watch


def black_box(function: Callable[[Any, Any], Any], state: Any) -> BlackBox:
    """`function(state, batch)` that returns the next state and the loss.

    The state is a tree of tensors. Each step gets copies.
    """
    label = label_of("PyTorch", function)
    found = leaves(state, torch.is_tensor)
    arrays = {name: np.array(_plain(value)) for name, value in found}
    return BlackBox(label, arrays, _Stepper(label, function, state))


@final
class _Stepper(Stepper):
    def __init__(self, label: str, function: Callable[[Any, Any], Any], state: Any) -> None:
        self._label = label
        self._function = function
        self._state = state

    def step(self, call: Call) -> StepAnswer:
        """One step in the precision of the call. Raises SideFailed."""
        dtype = DTYPES[call.precision]
        watch = Watch(wide=call.wide and call.precision == "float64", masks=call.masks)

        def given(name: str, own: Any) -> Any:
            value = call.tensors.get(name, _plain(own))
            return tensors_from(value, dtype).reshape(np.shape(own))

        with _guarded(self._label, dtype), watch:
            state = mapped(self._state, given)
            batch = mapped(call.batch, lambda _, item: tensors_from(item, dtype))
            after, loss = state_and_loss(self._function(state, batch), self._label)
            found = dict(leaves(after, torch.is_tensor))
        return StepAnswer(
            loss=_numbers(loss).reshape(()),
            tensors={name: _numbers(value) for name, value in found.items()},
            casts=watch.casts,
        )


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


def _plain(value: Any) -> Array:
    return array(value) if torch.is_tensor(value) else np.asarray(value)


def _numbers(value: Any) -> Any:
    if not torch.is_tensor(value):
        return np.asarray(value)
    plain = value.detach()
    return np.array((plain.double() if plain.is_floating_point() else plain).numpy())
