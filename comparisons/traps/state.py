"""The state of a model: names, order and where it lives."""

from __future__ import annotations

from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx
from torch import nn

from comparisons.traps.trap import Raises, Trap


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
    source="https://flax.readthedocs.io/en/latest/guides/convert_pytorch_to_flax.html",
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


def missing_pytorch() -> Any:
    layer = nn.Linear(2, 2)
    layer.load_state_dict({"weight": torch.ones(2, 2)})
    return "loaded"


def missing_jax() -> Any:
    layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    nnx.update(layer, {"kernel": jnp.ones((2, 2))})
    return "loaded"


def missing_jax_fixed() -> Any:
    layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    stored = {"kernel": jnp.ones((2, 2))}
    missing = set(nnx.to_pure_dict(nnx.state(layer))) - set(stored)
    return sorted(missing)


def missing_pytorch_fixed() -> Any:
    layer = nn.Linear(2, 2)
    return layer.load_state_dict({"weight": torch.ones(2, 2)}, strict=False).missing_keys


MISSING_KEY_IGNORED = Trap(
    id="missing-key-ignored",
    statement="Loading without the bias raises in PyTorch; nnx.update keeps the old one, without a "
    "word.",
    severity="silent wrong result",
    symptoms="partially loaded checkpoint, layer randomly initialised after loading, Missing "
    "key(s)",
    pytorch=missing_pytorch,
    pytorch_gives=Raises("RuntimeError", "Missing key(s)"),
    jax=missing_jax,
    jax_gives="loaded",
    fix="Compare names before the update (here: which are missing).",
    pytorch_fixed=missing_pytorch_fixed,
    jax_fixed=missing_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/state.html",
)


def extra_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    state = layer.state_dict() | {"bais": torch.tensor([5.0])}
    layer.load_state_dict(state)
    return "loaded"


def extra_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    nnx.update(layer, {"bais": jnp.array([5.0])})
    return "loaded"


def extra_pytorch_fixed() -> Any:
    layer = nn.Linear(1, 1)
    state = layer.state_dict() | {"bais": torch.tensor([5.0])}
    return layer.load_state_dict(state, strict=False).unexpected_keys


def extra_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    stored = nnx.to_pure_dict(nnx.state(layer)) | {"bais": jnp.array([5.0])}
    return sorted(set(stored) - set(nnx.to_pure_dict(nnx.state(layer))))


UNKNOWN_KEY_ACCEPTED = Trap(
    id="unknown-key-accepted",
    statement="A misspelt name raises when PyTorch loads it; nnx.update accepts it, and the "
    "parameter that was meant stays as it was.",
    severity="silent wrong result",
    symptoms="Unexpected key(s) in state_dict, checkpoint typo, renamed layer not loaded",
    pytorch=extra_pytorch,
    pytorch_gives=Raises("RuntimeError", "Unexpected key(s)"),
    jax=extra_jax,
    jax_gives="loaded",
    fix="Compare names before the update (here: which are not known).",
    pytorch_fixed=extra_pytorch_fixed,
    jax_fixed=extra_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/state.html",
)


def shape_pytorch() -> Any:
    layer = nn.Linear(2, 3)
    layer.load_state_dict({"weight": torch.ones(3, 2), "bias": torch.ones(1)})
    return layer.bias.shape


def shape_jax() -> Any:
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    nnx.update(layer, {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(1)})
    return layer.bias.shape


def shape_pytorch_fixed() -> Any:
    layer = nn.Linear(2, 3)
    layer.load_state_dict({"weight": torch.ones(3, 2), "bias": torch.ones(1).expand(3)})
    return layer.bias.shape


def shape_jax_fixed() -> Any:
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.ones(1)  # assigned in place: broadcast, or refused
    return layer.bias.shape


WRONG_SHAPE_ACCEPTED = Trap(
    id="wrong-shape-accepted",
    statement="A parameter of the wrong shape raises when PyTorch loads it; nnx.update accepts it, "
    "and broadcasting may hide it for ever.",
    severity="silent wrong result",
    symptoms="size mismatch for bias, all outputs share one bias, parameter count wrong after load",
    pytorch=shape_pytorch,
    pytorch_gives=Raises("RuntimeError", "size mismatch"),
    jax=shape_jax,
    jax_gives=(1,),
    fix="Compare shapes before the update, or assign in place.",
    pytorch_fixed=shape_pytorch_fixed,
    jax_fixed=shape_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/state.html",
)


def snapshot_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.bias)
    best = layer.state_dict()
    with torch.no_grad():
        layer.bias += 1  # training goes on
    return best["bias"]


def snapshot_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    best = nnx.state(layer)
    layer.bias[...] += 1  # training goes on
    return best["bias"][...]


def snapshot_pytorch_fixed() -> Any:
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.bias)
    best = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    with torch.no_grad():
        layer.bias += 1
    return best["bias"]


def snapshot_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    best = nnx.to_pure_dict(nnx.state(layer))
    layer.bias[...] += 1
    return best["bias"]


SNAPSHOT_IS_A_REFERENCE = Trap(
    id="snapshot-is-a-reference",
    statement="state_dict() and nnx.state() hand out the live parameters: a 'best' state kept "
    "during training is the last one.",
    severity="silent wrong result",
    symptoms="early stopping restores last weights, best model not best, deepcopy, snapshot",
    pytorch=snapshot_pytorch,
    pytorch_gives=[1.0],
    jax=snapshot_jax,
    jax_gives=[1.0],
    shared=True,
    fix="clone() each tensor; in Flax keep the arrays (to_pure_dict), which never change.",
    pytorch_fixed=snapshot_pytorch_fixed,
    jax_fixed=snapshot_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/notes/serialization.html",
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


def replaced_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer.bias = nn.Parameter(torch.tensor([5.0]))  # after the optimizer was made
    layer.bias.sum().backward()
    optimizer.step()
    return layer.bias


def replaced_jax() -> Any:
    params = {"bias": jnp.array([0.0])}
    optimizer = optax.sgd(1.0)
    state = optimizer.init(params)
    params = {"bias": jnp.array([5.0])}
    gradient = jax.grad(lambda params: params["bias"].sum())(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates)["bias"]


def replaced_pytorch_fixed() -> Any:
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([5.0]))  # in place: the same parameter
    layer.bias.sum().backward()
    optimizer.step()
    return layer.bias


OPTIMIZER_HOLDS_OLD_PARAMETER = Trap(
    id="optimizer-holds-old-parameter",
    statement="A PyTorch optimizer holds the parameters it was given: one replaced afterwards does "
    "not train, without a word. Optax updates what it is given each time.",
    severity="silent wrong result",
    symptoms="new head does not train, resize embeddings after optimizer, fine-tuning, weight "
    "reset",
    pytorch=replaced_pytorch,
    pytorch_gives=[5.0],
    jax=replaced_jax,
    jax_gives=[4.0],
    fix="Change parameters in place, or make the optimizer last.",
    pytorch_fixed=replaced_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/optim.html",
)


def signature_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer.bias.sum().backward()
    optimizer.step()
    return layer.bias


def signature_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(layer, optax.sgd(1.0))
    gradients = nnx.grad(lambda layer: layer.bias[...].sum())(layer)
    optimizer.update(gradients)
    return layer.bias[...]


def signature_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(layer, optax.sgd(1.0), wrt=nnx.Param)
    gradients = nnx.grad(lambda layer: layer.bias[...].sum())(layer)
    optimizer.update(layer, gradients)
    return layer.bias[...]


NNX_OPTIMIZER_SIGNATURE = Trap(
    id="nnx-optimizer-signature",
    statement="optimizer.step() takes nothing in PyTorch; nnx.Optimizer wants to be told wrt and "
    "the "
    "model since Flax 0.11, and older tutorials fail.",
    severity="error",
    symptoms="Missing required argument wrt, Missing required argument grads, nnx.Optimizer update",
    pytorch=signature_pytorch,
    pytorch_gives=[-1.0],
    jax=signature_jax,
    jax_gives=Raises("TypeError", "wrt"),
    fix="nnx.Optimizer(model, tx, wrt=nnx.Param) and update(model, gradients).",
    jax_fixed=signature_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/migrating/nnx_010_to_nnx_011.html",
)


def dtype_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    layer.load_state_dict({"weight": torch.ones(1, 1).double(), "bias": torch.ones(1).double()})
    return layer.weight.dtype


def dtype_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    nnx.update(layer, {"kernel": np.ones((1, 1)), "bias": np.ones(1)})
    return layer.kernel.dtype


def dtype_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    layer.kernel[...] = np.ones((1, 1))
    return layer.kernel.dtype


LOADED_DTYPE = Trap(
    id="loaded-dtype",
    statement="Loading float64 arrays casts them to the parameter's own type in PyTorch; "
    "nnx.update "
    "puts the NumPy array itself into the model, float64 and all.",
    severity="silent wrong result",
    symptoms="parameter is numpy array, float64 kernel, dtype changed after loading checkpoint",
    pytorch=dtype_pytorch,
    pytorch_gives="float32",
    jax=dtype_jax,
    jax_gives="float64",
    fix="Assign in place, which keeps the type.",
    jax_fixed=dtype_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/state.html",
)
