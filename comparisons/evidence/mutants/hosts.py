"""The seams where a backend is patched, under the same names for both frameworks.

A bug is written once, with the operations of a `Host`; the host plants it in its own framework.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from twofold.problem.state import MOMENTUM
from twofold.spec.experiment import Optimizer

OF_FLAX: Final = ("layers", "model")
Tensor = Any  # of either framework
Forward = Callable[["Host", Any, Tensor, Any], Tensor]
NormRule = Callable[["Host", Any, Tensor, bool], Tensor]
EmbeddingRule = Callable[["Host", Any, Tensor], Tensor]
LossRule = Callable[["Host", Tensor, Tensor], Tensor]
Slots = dict[str, Tensor]
# (host, spec, parameter, gradient, slots, step from 1) -> what is added to the parameter, new slots
UpdateRule = Callable[["Host", Any, Tensor, Tensor, Slots, int], tuple[Tensor, Slots]]


@dataclass(frozen=True)
class Host:
    """One framework as a place for bugs; `sibling` is the correct engine of the other one."""

    name: str
    engine: str
    sibling: str

    def module(self, room: str) -> ModuleType:
        """A module of this host's backend; Flax builds the model, and JAX's room does the rest."""
        shared = not self.is_torch and room not in OF_FLAX
        return importlib.import_module(f"twofold_{'jax' if shared else self.name}.{room}")

    @property
    def is_torch(self) -> bool:
        """Whether this is the PyTorch backend."""
        return self.name == "torch"

    # Operations that the two frameworks spell differently

    @property
    def xp(self) -> Any:
        """`torch` or `jax.numpy`."""
        return importlib.import_module("torch" if self.is_torch else "jax.numpy")

    @property
    def functions(self) -> Any:
        """`torch.nn.functional` or `jax.nn`."""
        return importlib.import_module("torch.nn.functional" if self.is_torch else "jax.nn")

    def detach(self, x: Tensor) -> Tensor:
        """x, through which no gradient flows."""
        return x.detach() if self.is_torch else importlib.import_module("jax").lax.stop_gradient(x)

    def one_hot(self, labels: Tensor, classes: int, like: Tensor) -> Tensor:
        """Labels (batch,) as (batch, classes) in the dtype of `like`."""
        if self.is_torch:
            return self.functions.one_hot(labels, classes).to(like.dtype)
        return self.functions.one_hot(labels, classes, dtype=like.dtype)

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Log-probabilities (batch, classes)."""
        return self.functions.log_softmax(logits, -1)

    def softmax(self, logits: Tensor) -> Tensor:
        """Probabilities (batch, classes)."""
        return self.functions.softmax(logits, -1)

    def rounded(self, x: Tensor, bits: int) -> Tensor:
        """x to `bits` bits of mantissa (Veltkamp's splitting); gradients pass through it."""
        mantissa = 53 if "float64" in str(x.dtype) else 24
        if bits >= mantissa:
            return x
        wide = x * float(2 ** (mantissa - bits) + 1)
        return x + self.detach((wide - (wide - x)) - x)

    def weight(self, layer: Any) -> Tensor:
        """A linear layer's weight as (in_features, out_features)."""
        return layer.weight.T if self.is_torch else layer.kernel[...]

    def bias(self, layer: Any) -> Tensor:
        """A linear layer's bias (out_features,)."""
        return layer.bias if self.is_torch else layer.bias[...]

    def layers(self, model: Any) -> list[Any]:
        """A model's layers with parameters, by their numbers."""
        found: list[Any] = []
        for layer in model.layers:
            if hasattr(layer, "layers"):
                found += self.layers(layer)
            elif any(
                getattr(layer, own, None) is not None for own in ("weight", "kernel", "scale")
            ):
                found.append(layer)
        return found

    def whole(self, x: Tensor) -> Tensor:
        """Whole numbers that floating-point numbers hold, as integers."""
        return x.long() if self.is_torch else x.astype("int32")

    def table(self, layer: Any) -> Tensor:
        """An embedding's weight (rows, features)."""
        return layer.table.weight if self.is_torch else layer.table.embedding[...]

    def is_batch_norm(self, layer: Any) -> bool:
        """Whether a norm is one of batches."""
        return hasattr(layer, "running_var" if self.is_torch else "var")

    def scale_and_shift(self, layer: Any) -> tuple[Tensor, Tensor]:
        """A norm's parameters (features,)."""
        if self.is_torch:
            return layer.weight, layer.bias
        return layer.scale[...], layer.bias[...]

    def eps(self, layer: Any) -> float:
        """What a norm adds to the variance."""
        return float(layer.eps if self.is_torch else layer.epsilon)

    def running(self, layer: Any) -> tuple[Tensor, Tensor]:
        """A batch norm's running mean and variance (features,)."""
        if self.is_torch:
            return layer.running_mean, layer.running_var
        return layer.mean[...], layer.var[...]

    def move(self, layer: Any, mean: Tensor, variance: Tensor) -> None:
        """Move a batch norm's running statistics towards those of a batch."""
        keep = 1 - layer.momentum if self.is_torch else layer.momentum
        moved = [
            keep * old + (1 - keep) * self.detach(new)
            for old, new in zip(self.running(layer), (mean, variance), strict=True)
        ]
        if self.is_torch:
            layer.running_mean.copy_(moved[0])
            layer.running_var.copy_(moved[1])
        else:
            layer.mean[...], layer.var[...] = moved

    # Seams

    def norm(self, rule: NormRule) -> AbstractContextManager[Any]:
        """Replace every norm; the rule gets (host, layer, inputs, whether in training)."""
        if self.is_torch:
            nn = importlib.import_module("torch.nn")

            def forward(layer: Any, x: Tensor) -> Tensor:
                return rule(self, layer, x, layer.training)

            norms = (nn.LayerNorm, nn.BatchNorm1d)
            return together(*(patch.object(each, "forward", forward) for each in norms))
        nnx = importlib.import_module("flax.nnx")

        def call(layer: Any, x: Tensor, use_running_average: bool = True) -> Tensor:
            return rule(self, layer, x, not use_running_average)

        norms = (nnx.LayerNorm, nnx.BatchNorm)
        return together(*(patch.object(each, "__call__", call) for each in norms))

    def embedding(self, rule: EmbeddingRule) -> AbstractContextManager[Any]:
        """Replace the embedding; the rule gets (host, layer, inputs)."""

        def replaced(layer: Any, inputs: Tensor) -> Tensor:
            return rule(self, layer, inputs)

        method = "forward" if self.is_torch else "__call__"
        return patch.object(self.module("layers").Embedding, method, replaced)

    def forward(self, rule: Forward) -> AbstractContextManager[Any]:
        """Replace the model's forward pass; the rule gets (host, model, inputs, key or keys)."""
        method = "forward" if self.is_torch else "__call__"

        def replaced(
            model: Any, inputs: Tensor, keys: Any = None, masks: Any = None, **_: Any
        ) -> Tensor:
            assert masks is None, "rules draw their own masks; use a base without micro-batches"
            return rule(self, model, inputs, keys)

        return patch.object(self.module("model").Network, method, replaced)

    def activation(
        self, name: str, function: Callable[[Tensor], Tensor]
    ) -> AbstractContextManager[Any]:
        """Replace an activation."""
        return patch.dict(self.module("layers").ACTIVATIONS, {name: function})

    def loss(self, rule: LossRule) -> AbstractContextManager[Any]:
        """Replace the loss, whatever the experiment asks for."""

        def built(*_: Any, **__: Any) -> Callable[[Tensor, Tensor], Tensor]:
            return lambda logits, targets: rule(self, logits, targets)

        return patch.object(self.module("program"), "build_loss", built)

    def update(self, rule: UpdateRule) -> AbstractContextManager[Any]:
        """Replace the optimizer by a rule for one parameter."""
        build = _torch_optimizer if self.is_torch else _optax_optimizer

        def built(spec: Optimizer, *_: Any, **__: Any) -> Any:
            return build(self, rule, spec, *_)

        return patch.object(self.module("program"), "build_optimizer", built)

    def optimizer(self, wrap: Callable[[Any], Any]) -> AbstractContextManager[Any]:
        """Change what the backend's own `build_optimizer` returns."""
        original = self.module("program").build_optimizer
        return patch.object(
            self.module("program"), "build_optimizer", lambda *a, **k: wrap(original(*a, **k))
        )

    def initial(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Any:
        """Change the initial parameters, NumPy under canonical names."""
        original = self.module("executor").initial_parameters
        return patch.object(
            self.module("executor"), "initial_parameters", lambda problem: change(original(problem))
        )

    def epoch_order(self, order: Callable[..., Any]) -> AbstractContextManager[Any]:
        """Replace the order of an epoch; `order` gets the original and its four arguments."""
        original = self.module("feed").epoch_order
        return patch.object(
            self.module("feed"), "epoch_order", lambda *given: order(original, *given)
        )

    def feed(self, method: str, change: Callable[..., Any]) -> AbstractContextManager[Any]:
        """Replace a method of `Feed`; `change` gets the original method, then its arguments."""
        owner = self.module("feed").Feed
        original = getattr(owner, method)
        return patch.object(owner, method, lambda *given: change(original, *given))

    def executor(self, method: str, change: Callable[..., Any]) -> AbstractContextManager[Any]:
        """Replace a method of the executor; `change` gets the original, then its arguments."""
        rooms = self.module("executor")
        owner = rooms.TorchExecutor if self.is_torch else rooms.JaxExecutor
        original = getattr(owner, method)

        def replaced(*given: Any, **named: Any) -> Any:
            return change(original, *given, **named)

        return patch.object(owner, method, replaced)


HOSTS: Final = {
    "torch": Host("torch", "torch:eager", "flax:op-by-op"),
    "flax": Host("flax", "flax:op-by-op", "torch:eager"),
}


def _torch_optimizer(host: Host, rule: UpdateRule, spec: Any, parameters: Any, *_: Any) -> Any:
    """A PyTorch optimizer that applies a rule, its slots under PyTorch's own keys."""
    torch = importlib.import_module("torch")
    keys = host.module("optimizer").SLOT_KEYS
    slots = (MOMENTUM,) if spec.kind == "sgd" else tuple(k for k in keys if k != MOMENTUM)
    parent = torch.optim.SGD if spec.kind == "sgd" else torch.optim.Adam

    class Ruled(parent):  # type: ignore[misc,valid-type]  # so that slots load as they always do
        counts: dict[Any, int]

        def step(self, closure: Any = None) -> None:
            del closure
            with torch.no_grad():
                for parameter in parameters:
                    state = self.state[parameter]
                    count = int(state["step"]) + 1 if "step" in state else 0
                    own = {slot: state[keys[slot]] for slot in slots if keys[slot] in state}
                    delta, after = rule(host, spec, parameter, parameter.grad, own, count)
                    parameter.add_(delta)
                    for slot, value in after.items():
                        state[keys[slot]].copy_(value)
                    if "step" in state:
                        state["step"].fill_(count)

    options = {"momentum": spec.momentum} if spec.kind == "sgd" else {"betas": spec.betas}
    return Ruled(parameters, lr=spec.learning_rate, **options)


def _optax_optimizer(host: Host, rule: UpdateRule, spec: Any, *_: Any) -> Any:
    """An Optax transformation that applies a rule, its slots under Optax's own names."""
    jax = importlib.import_module("jax")
    optax = importlib.import_module("optax")
    keys = host.module("optimizer").SLOT_KEYS
    sgd = spec.kind == "sgd"
    slots = (MOMENTUM,) if sgd else tuple(k for k in keys if k != MOMENTUM)

    def init(params: Any) -> Any:
        zeros = jax.tree.map(jax.numpy.zeros_like, params)
        if sgd:
            return optax.TraceState(trace=zeros)
        return optax.ScaleByAdamState(count=jax.numpy.zeros((), "int32"), mu=zeros, nu=zeros)

    def update(gradients: Any, state: Any, params: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(params)
        given = [jax.tree.leaves(getattr(state, keys[slot])) for slot in slots]
        count = 0 if sgd else int(state.count) + 1
        deltas, after = [], []
        for index, (parameter, gradient) in enumerate(
            zip(leaves, jax.tree.leaves(gradients), strict=True)
        ):
            own = {slot: arrays[index] for slot, arrays in zip(slots, given, strict=True)}
            delta, changed = rule(host, spec, parameter, gradient, own, count)
            deltas.append(delta)
            after.append(changed)
        trees = {
            keys[slot]: jax.tree.unflatten(tree, [each[slot] for each in after]) for slot in slots
        }
        if not sgd:
            trees["count"] = jax.numpy.asarray(count, "int32")
        return jax.tree.unflatten(tree, deltas), state._replace(**trees)

    return optax.GradientTransformation(init, update)


@contextmanager
def together(*contexts: AbstractContextManager[Any]) -> Iterator[None]:
    """Several patches at once."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield
