"""What belongs to a model's state, under which names and in which order."""

from __future__ import annotations

from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import torch
from flax import nnx
from torch import nn

from comparisons.atlas.traps.trap import Raises, Trap


def names_pytorch() -> Any:
    return list(nn.BatchNorm1d(2).state_dict())


def names_jax() -> Any:
    return list(nnx.to_pure_dict(nnx.state(nnx.BatchNorm(2, rngs=nnx.Rngs(0)))))


NAMES = {
    "weight": "scale",
    "bias": "bias",
    "running_mean": "mean",
    "running_var": "var",
    "num_batches_tracked": None,
}


def names_pytorch_fixed() -> Any:
    return sorted(NAMES[name] for name in nn.BatchNorm1d(2).state_dict() if NAMES[name])


def names_jax_fixed() -> Any:
    return sorted(nnx.to_pure_dict(nnx.state(nnx.BatchNorm(2, rngs=nnx.Rngs(0)))))


STATE_NAMES = Trap(
    id="state-names",
    statement="The same layer's state has other names, another order and another number of "
    "entries.",
    severity="error",
    symptoms="missing keys, unexpected keys, load weights by position, convert checkpoint",
    pytorch=names_pytorch,
    pytorch_gives=["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    jax=names_jax,
    jax_gives=["bias", "mean", "scale", "var"],
    fix="Map by name, never by position.",
    pytorch_fixed=names_pytorch_fixed,
    jax_fixed=names_jax_fixed,
    source="https://flax.readthedocs.io/en/stable/migrating/convert_pytorch_to_flax.html",
)


def vector_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    layer.load_state_dict({"weight": torch.tensor([[1.0]]), "bias": torch.tensor([2.0])})
    return nn.utils.parameters_to_vector(layer.parameters())


def vector_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    nnx.update(layer, {"kernel": jnp.array([[1.0]]), "bias": jnp.array([2.0])})
    vector, _ = jax.flatten_util.ravel_pytree(nnx.to_pure_dict(nnx.state(layer)))
    return vector


def vector_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    nnx.update(layer, {"kernel": jnp.array([[1.0]]), "bias": jnp.array([2.0])})
    named = nnx.to_pure_dict(nnx.state(layer))
    return jnp.concatenate([named["kernel"].T.ravel(), named["bias"].ravel()])


FLAT_PARAMETER_ORDER = Trap(
    id="flat-parameter-order",
    statement="Flattened to one vector, parameters come in the order of registration in PyTorch "
    "and "
    "sorted by name in JAX: the bias comes last or first.",
    severity="silent wrong result",
    symptoms="parameter vector, federated averaging, Hessian, evolution strategies, ravel_pytree",
    pytorch=vector_pytorch,
    pytorch_gives=[1.0, 2.0],
    jax=vector_jax,
    jax_gives=[2.0, 1.0],
    fix="Build the vector by name (and transpose the kernel).",
    jax_fixed=vector_jax_fixed,
    source="https://docs.jax.dev/en/latest/pytrees.html",
)


def list_pytorch() -> Any:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(2, 2)]

    return len(list(Stack().parameters()))


def list_jax() -> Any:
    class Stack(nnx.Module):
        def __init__(self) -> None:
            self.layers = [nnx.Linear(2, 2, rngs=nnx.Rngs(0))]

    return len(jax.tree.leaves(nnx.state(Stack(), nnx.Param)))


def list_pytorch_fixed() -> Any:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 2)])

    return len(list(Stack().parameters()))


def list_jax_fixed() -> Any:
    class Stack(nnx.Module):
        def __init__(self) -> None:
            self.layers = nnx.List([nnx.Linear(2, 2, rngs=nnx.Rngs(0))])

    return len(jax.tree.leaves(nnx.state(Stack(), nnx.Param)))


SUBMODULES_IN_A_LIST = Trap(
    id="submodules-in-a-list",
    statement="Layers in a plain Python list are not registered in PyTorch, and do not train, "
    "without a word; Flax raises.",
    severity="silent wrong result",
    symptoms="optimizer got an empty parameter list, layers not trained, not moved to device",
    pytorch=list_pytorch,
    pytorch_gives=0,
    jax=list_jax,
    jax_gives=Raises("ValueError", "static attribute"),
    fix="nn.ModuleList and nnx.List (number of parameter tensors).",
    pytorch_fixed=list_pytorch_fixed,
    jax_fixed=list_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleList.html",
)


def bare_pytorch() -> Any:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.ones(3)

    return list(Scale().state_dict())


def bare_jax() -> Any:
    class Scale(nnx.Module):
        def __init__(self) -> None:
            self.scale = jnp.ones(3)

    return list(nnx.to_pure_dict(nnx.state(Scale())))


def bare_pytorch_fixed() -> Any:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.ones(3))

    return list(Scale().state_dict())


PLAIN_TENSOR_ATTRIBUTE = Trap(
    id="plain-tensor-attribute",
    statement="A plain tensor on a PyTorch module is not part of its state: not saved, not moved "
    "by "
    ".to(device). A plain array on a Flax module is (though no Param).",
    severity="silent wrong result",
    symptoms="normalisation constants lost after loading, tensor stays on cpu, positional encoding",
    pytorch=bare_pytorch,
    pytorch_gives=[],
    jax=bare_jax,
    jax_gives=["scale"],
    fix="register_buffer.",
    pytorch_fixed=bare_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html",
)


def count_pytorch() -> Any:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    return sum(parameter.numel() for parameter in model.parameters())


def count_jax() -> Any:
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        nnx.Linear(2, 2, rngs=rngs), nnx.BatchNorm(2, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model)))


def count_jax_fixed() -> Any:
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        nnx.Linear(2, 2, rngs=rngs), nnx.BatchNorm(2, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


PARAMETER_COUNT = Trap(
    id="parameter-count",
    statement="parameters() gives what trains; all of nnx.state() also holds running statistics, "
    "random keys and counters.",
    severity="silent wrong result",
    symptoms="parameter count differs, weight decay on running mean, gradients of keys",
    pytorch=count_pytorch,
    pytorch_gives=10,  # 4 + 2 and 2 + 2
    jax=count_jax,
    jax_gives=16,  # and 2 + 2 statistics, 1 key, 1 counter
    fix="nnx.state(model, nnx.Param).",
    jax_fixed=count_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/guides/filters_guide.html",
)
