"""Between the canonical NumPy form and PyTorch, bit for bit.

PyTorch's short names (`weight`, `bias`, `running_mean`, `running_var`) are the canonical ones, and
`nn.Linear` keeps its weight as (out_features, in_features) and `nn.Embedding` as (rows, features),
which are the canonical layouts: nothing is renamed or transposed here. This is the only place that
would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from twofold.problem.state import Array, Parameters, TrainState
from twofold_torch.model import Network
from twofold_torch.optimizer import SLOT_KEYS


def named_parameters(model: Network) -> Iterator[tuple[str, Tensor]]:
    """Canonical names and parameters, input side first."""
    for number, layer in enumerate(_layers_with_parameters(model)):
        for short, parameter in layer.named_parameters(recurse=False):
            yield f"layers.{number}.{short}", parameter


def named_buffers(model: Network) -> Iterator[tuple[str, Tensor]]:
    """Canonical names and buffers; what PyTorch counts in integers is not among them."""
    for number, layer in enumerate(_layers_with_parameters(model)):
        for short, buffer in layer.named_buffers(recurse=False):
            if buffer.is_floating_point():
                yield f"layers.{number}.{short}", buffer


def canonical_names(model: Network) -> dict[str, str]:
    """The canonical name of each parameter, by its path in the module."""
    names = {id(parameter): name for name, parameter in named_parameters(model)}
    return {path: names[id(parameter)] for path, parameter in model.named_parameters()}


def _layers_with_parameters(model: Network) -> list[nn.Module]:
    """In the order in which a spec numbers them: those inside a residual block stand within it."""
    return [each for each in model.modules() if any(True for _ in each.parameters(recurse=False))]


def to_tensor(array: Array, device: torch.device) -> Tensor:
    """A copy of an array on the device."""
    return torch.tensor(np.ascontiguousarray(array), device=device)


def to_array(tensor: Tensor) -> Array:
    """A copy of a tensor in NumPy."""
    return np.array(tensor.detach().cpu().numpy(), copy=True)


def gradients_to_numpy(model: Network) -> Parameters:
    """The gradients that the last backward pass left, under canonical names."""
    gradients = {}
    for name, parameter in named_parameters(model):
        assert parameter.grad is not None, f"{name} has no gradient"
        gradients[name] = to_array(parameter.grad)
    return gradients


def state_to_numpy(
    model: Network, optimizer: torch.optim.Optimizer, slots: Iterable[str], step: int
) -> TrainState:
    """A copy of the train state."""
    named = dict(named_parameters(model))
    return TrainState(
        parameters={name: to_array(parameter) for name, parameter in named.items()},
        slots={
            slot: {
                name: to_array(optimizer.state[parameter][SLOT_KEYS[slot]])
                for name, parameter in named.items()
            }
            for slot in slots
        },
        step=step,
        buffers={name: to_array(buffer) for name, buffer in named_buffers(model)},
    )


def load_state(model: Network, optimizer: torch.optim.Optimizer, state: TrainState) -> None:
    """Put a train state into the model and the optimizer, in place.

    In place, so that a compiled or captured program goes on with the same tensors.
    """
    with torch.no_grad():
        for name, parameter in named_parameters(model):
            _copy(state.parameters[name], parameter)
            slots = {SLOT_KEYS[slot]: arrays[name] for slot, arrays in state.slots.items()}
            _load_slots(optimizer, parameter, slots, state.step)
        for name, buffer in named_buffers(model):
            _copy(state.buffers[name], buffer)


def _load_slots(
    optimizer: torch.optim.Optimizer,
    parameter: Tensor,
    slots: Mapping[str, Array],
    step: int,
) -> None:
    """PyTorch makes slots at the first step; here they exist from the beginning."""
    state = optimizer.state[parameter]
    for key, array in slots.items():
        if state.get(key) is None:
            state[key] = torch.zeros_like(parameter)
        _copy(array, state[key])
    if isinstance(optimizer, torch.optim.Adam):  # AdamW is a subclass
        # A float32 scalar, as `Adam._init_group` makes it; on the device only for fused kernels.
        if "step" not in state:
            on_device = optimizer.defaults["fused"] or optimizer.defaults["capturable"]
            device = parameter.device if on_device else torch.device("cpu")
            state["step"] = torch.zeros((), dtype=torch.float32, device=device)
        state["step"].fill_(step)


def _copy(array: Array, tensor: Tensor) -> None:
    tensor.copy_(torch.from_numpy(np.array(array, copy=True)))
