"""Bugs of the forward pass: layers, activations, dropout, precision, gradient flow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final
from unittest.mock import patch

from comparisons.evidence.mutants.hosts import Host, Tensor
from comparisons.evidence.mutants.mutant import Mutant

Linear = Callable[[Host, Any, int, Tensor], Tensor]  # (host, model, layer index, inputs)
Drop = Callable[[Any, Any, int, Tensor], Tensor]  # (model, masks, layer index, hidden)


def plain_linear(host: Host, model: Any, index: int, x: Tensor) -> Tensor:
    """x W + b, as the backend's own layer computes it."""
    return host.layers(model)[index](x)


def plain_drop(model: Any, masks: Any, index: int, x: Tensor) -> Tensor:
    """Dropped units are zero, kept ones divided by the probability of keeping."""
    return x * masks[index] / keep_probability(model)


def keep_probability(model: Any) -> float:
    """That of an MLP's dropout layers, which is the same in all."""
    kept: float = next(each.keep_probability for each in model.layers if hasattr(each, "draw"))
    return kept


def activation_of(model: Any, x: Tensor) -> Tensor:
    """An MLP's activation, which is the same after all hidden layers."""
    return next(each for each in model.layers if hasattr(each, "function"))(x)


def network(
    host: Host,
    model: Any,
    inputs: Tensor,
    keys: Any,
    *,
    linear: Linear = plain_linear,
    drop: Drop = plain_drop,
    activate: Callable[[Any, int, Tensor], Tensor] = lambda model, _, x: activation_of(model, x),
    drop_first: bool = False,
    on_inputs: bool = False,
    on_logits: Callable[[Host, Tensor], Tensor] = lambda _, x: x,
) -> Tensor:
    """The correct forward pass, with a place for every bug."""
    masks = None if keys is None else model.masks(keys, inputs.shape[0])
    x = inputs if masks is None or not on_inputs else drop(model, masks, 0, inputs)
    last = len(host.layers(model)) - 1
    for index in range(last):
        x = linear(host, model, index, x)
        if masks is not None and drop_first:
            x = activate(model, index, drop(model, masks, index, x))
        elif masks is not None:
            x = drop(model, masks, index, activate(model, index, x))
        else:
            x = activate(model, index, x)
    return on_logits(host, linear(host, model, last, x))


def forward(**places: Any) -> Callable[[Host], AbstractContextManager[Any]]:
    """Plant a forward pass with a bug in one of its places."""
    return lambda host: host.forward(partial(network, **places))


def at_layer(which: int, change: Linear) -> Linear:
    """A change of one linear layer; the others stay."""

    def linear(host: Host, model: Any, index: int, x: Tensor) -> Tensor:
        return (change if index == which else plain_linear)(host, model, index, x)

    return linear


def _product(
    weight: Callable[[Host, Tensor], Tensor] = lambda _, w: w,
    bias: Callable[[Host, Tensor], Tensor] = lambda _, b: b,
    inputs: Callable[[Host, Tensor], Tensor] = lambda _, x: x,
) -> Linear:
    def linear(host: Host, model: Any, index: int, x: Tensor) -> Tensor:
        layer = host.layers(model)[index]
        product = inputs(host, x) @ weight(host, host.weight(layer))
        return product + bias(host, host.bias(layer))

    return linear


def _in_bits(bits: int) -> Linear:
    """A product whose operands have so few bits of mantissa."""
    return _product(
        weight=lambda host, w: host.rounded(w, bits), inputs=lambda host, x: host.rounded(x, bits)
    )


def _of_layer(other: dict[int, int]) -> Linear:
    def linear(host: Host, model: Any, index: int, x: Tensor) -> Tensor:
        return host.layers(model)[other.get(index, index)](x)

    return linear


def _activation(name: str, function: Callable[[Host], Callable[[Tensor], Tensor]]) -> Any:
    return lambda host: host.activation(name, function(host))


def _known(name: str) -> Callable[[Host], Callable[[Tensor], Tensor]]:
    return lambda host: host.module("layers").ACTIVATIONS[name]


def _quick_gelu(host: Host) -> Callable[[Tensor], Tensor]:
    return lambda x: x * host.functions.sigmoid(1.702 * x)


def _leaky_relu(host: Host) -> Callable[[Tensor], Tensor]:
    return lambda x: host.xp.where(x > 0, x, 0.01 * x)


def _steeper_leaky_relu(host: Host) -> Callable[[Tensor], Tensor]:
    return lambda x: host.xp.where(x > 0, x, 0.2 * x)


def _other_elu(alpha: float) -> Callable[[Host], Callable[[Tensor], Tensor]]:
    def elu(host: Host) -> Callable[[Tensor], Tensor]:
        return lambda x: host.xp.where(x > 0, x, alpha * host.xp.expm1(x * (x < 0)))

    return elu


def _celu(host: Host) -> Callable[[Tensor], Tensor]:
    return lambda x: host.xp.where(x > 0, x, 0.5 * host.xp.expm1(x * (x < 0) / 0.5))


def _relu6(host: Host) -> Callable[[Tensor], Tensor]:
    return lambda x: host.xp.clip(x, 0.0, 6.0)


def _swish(host: Host) -> Callable[[Tensor], Tensor]:
    return lambda x: x * host.functions.sigmoid(1.1 * x)


def _rounded_activation(host: Host) -> Callable[[Tensor], Tensor]:
    gelu = _known("gelu")(host)
    return lambda x: host.rounded(gelu(x), 11)


def _inverted(model: Any, masks: Any, index: int, x: Tensor) -> Tensor:
    return x * ~masks[index] / keep_probability(model)


def _straight_through(host: Host) -> AbstractContextManager[Any]:
    def drop(model: Any, masks: Any, index: int, x: Tensor) -> Tensor:
        return x + host.detach(plain_drop(model, masks, index, x) - x)

    return host.forward(partial(network, drop=drop))


def _training_everywhere(host: Host) -> AbstractContextManager[Any]:
    def logits(original: Any, self: Any, inputs: Any, *, training: bool) -> Any:
        del training
        return original(self, inputs, training=True)

    return host.executor("logits", logits)


def _evaluation_everywhere(host: Host) -> AbstractContextManager[Any]:
    return host.forward(lambda host, model, inputs, _: network(host, model, inputs, None))


def _next_masks(host: Host) -> AbstractContextManager[Any]:
    if host.is_torch:
        return host.feed("keys", lambda original, self, step: original(self, step + 1))
    program = host.module("program").Program
    original = program.key
    return patch.object(program, "key", lambda self, step: original(self, step + 1))


def _mutant(name: str, theme: str, description: str, plant: Any, base: str = "classes") -> Mutant:
    return Mutant(name, theme, description, base, plant=plant)


LAYERS: Final = (
    _mutant(
        "transposed-weight",
        "layout",
        "a square weight is used without transposing it",
        forward(linear=at_layer(1, _product(weight=lambda _, w: w.T))),
    ),
    _mutant(
        "missing-bias",
        "layers",
        "one layer leaves out its bias",
        forward(linear=at_layer(1, _product(bias=lambda _, b: 0.0 * b))),
    ),
    _mutant(
        "bias-twice",
        "layers",
        "one layer adds its bias twice",
        forward(linear=at_layer(2, _product(bias=lambda _, b: b + b))),
    ),
    _mutant(
        "tied-weights",
        "layers",
        "the second layer shares the weights of the first",
        forward(linear=_of_layer({1: 0})),
    ),
    _mutant(
        "swapped-layers",
        "layers",
        "two layers of equal shape stand in the wrong order",
        forward(linear=_of_layer({0: 1, 1: 0})),
    ),
    _mutant(
        "activation-on-logits",
        "layers",
        "the output layer is activated as well",
        forward(on_logits=lambda host, x: host.xp.tanh(x)),
    ),
    _mutant(
        "missing-activation",
        "layers",
        "the last hidden layer has no activation",
        forward(activate=lambda model, i, x: activation_of(model, x) if i == 0 else x),
    ),
    _mutant(
        "logits-shifted",
        "layers",
        "the largest logit of each row is subtracted twice",
        forward(on_logits=lambda host, x: x - host.detach(host.xp.amax(x, -1)[:, None])),
    ),
)

GRADIENT_FLOW: Final = (
    _mutant(
        "bias-without-gradient",
        "gradient flow",
        "one bias gets no gradient",
        forward(linear=at_layer(1, _product(bias=lambda host, b: host.detach(b) + 0.0 * b))),
    ),
    _mutant(
        "weight-without-gradient",
        "gradient flow",
        "one weight is left frozen",
        forward(linear=at_layer(0, _product(weight=lambda host, w: host.detach(w) + 0.0 * w))),
    ),
    _mutant(
        "detached-layer",
        "gradient flow",
        "no gradient flows below the second layer",
        forward(
            linear=at_layer(
                1, lambda host, model, i, x: host.layers(model)[i](host.detach(x) + 0.0 * x)
            )
        ),
    ),
    _mutant(
        "dropout-without-gradient-mask",
        "gradient flow",
        "dropped units pass their gradient on",
        _straight_through,
    ),
)

ACTIVATIONS: Final = (
    _mutant(
        "gelu-tanh",
        "activation",
        "GELU by tanh where the exact one is asked for",
        _activation("gelu", _known("gelu_tanh")),
    ),
    _mutant(
        "gelu-exact",
        "activation",
        "exact GELU where the one by tanh is asked for",
        _activation("gelu_tanh", _known("gelu")),
        "classes, gelu_tanh",
    ),
    _mutant("quick-gelu", "activation", "GELU by a sigmoid", _activation("gelu", _quick_gelu)),
    _mutant(
        "leaky-relu",
        "activation",
        "a slope of 0.01 below zero",
        _activation("relu", _leaky_relu),
        "classes, relu",
    ),
    _mutant(
        "relu6",
        "activation",
        "ReLU capped at six",
        _activation("relu", _relu6),
        "classes, relu",
    ),
    _mutant(
        "leaky-slope-0.2",
        "activation",
        "a slope of 0.2 where 0.01 is asked for",
        _activation("leaky_relu", _steeper_leaky_relu),
        "classes, leaky_relu",
    ),
    _mutant(
        "relu-for-leaky",
        "activation",
        "ReLU in place of leaky ReLU",
        _activation("leaky_relu", _known("relu")),
        "classes, leaky_relu",
    ),
    _mutant(
        "elu-alpha",
        "activation",
        "ELU with an alpha of 0.5",
        _activation("elu", _other_elu(0.5)),
        "classes, elu",
    ),
    _mutant(
        "elu-alpha-off",
        "activation",
        "ELU with an alpha of 1.001",
        _activation("elu", _other_elu(1.001)),
        "classes, elu",
    ),
    _mutant(
        "celu",
        "activation",
        "CELU with an alpha of 0.5 in place of ELU",
        _activation("elu", _celu),
        "classes, elu",
    ),
    _mutant(
        "swish-with-beta",
        "activation",
        "SiLU with a factor of 1.1 inside",
        _activation("silu", _swish),
        "classes, silu",
    ),
)

DROPOUT: Final = (
    _mutant(
        "dropout-in-evaluation",
        "dropout",
        "evaluation runs in training mode",
        _training_everywhere,
    ),
    _mutant(
        "no-dropout-in-training",
        "dropout",
        "training runs in evaluation mode",
        _evaluation_everywhere,
    ),
    _mutant(
        "unscaled-dropout",
        "dropout",
        "kept units are not divided by the probability of keeping",
        forward(drop=lambda _, masks, i, x: x * masks[i]),
    ),
    _mutant(
        "dropout-scaled-by-rate",
        "dropout",
        "kept units are divided by the probability of dropping",
        forward(drop=lambda model, masks, i, x: x * masks[i] / (1 - keep_probability(model))),
    ),
    _mutant("inverted-mask", "dropout", "the mask says what to drop", forward(drop=_inverted)),
    _mutant(
        "dropout-before-activation",
        "dropout",
        "dropout stands before the activation",
        forward(drop_first=True),
    ),
    _mutant(
        "dropout-on-inputs",
        "dropout",
        "the inputs are dropped as well",
        forward(on_inputs=True),
    ),
    _mutant(
        "wrong-mask",
        "dropout",
        "the layers use each other's masks",
        forward(drop=lambda model, masks, i, x: plain_drop(model, masks, 1 - i, x)),
    ),
    _mutant(
        "mask-for-the-batch",
        "dropout",
        "all rows of a batch share one mask",
        forward(drop=lambda model, masks, i, x: x * masks[i][0:1] / keep_probability(model)),
    ),
    _mutant(
        "masks-of-the-next-step",
        "dropout",
        "the step in the dropout key is off by one",
        _next_masks,
    ),
)

PRECISION: Final = (
    _mutant(
        "bfloat16-products",
        "precision",
        "matrix products round their operands to bfloat16",
        forward(linear=_in_bits(8)),
    ),
    _mutant(
        "tf32-products",
        "precision",
        "matrix products round their operands to TF32",
        forward(linear=_in_bits(11)),
    ),
    _mutant(
        "three-bfloat16-passes",
        "precision",
        "matrix products round their operands to 16 bits of mantissa",
        forward(linear=_in_bits(16)),
    ),
    _mutant(
        "float32-inside-float64",
        "precision",
        "float64 products round their operands to float32",
        forward(linear=_in_bits(24)),
    ),
    _mutant(
        "float16-activations",
        "precision",
        "activations are kept with the mantissa of float16",
        _activation("gelu", _rounded_activation),
    ),
)

MUTANTS: Final = (*LAYERS, *GRADIENT_FLOW, *ACTIVATIONS, *DROPOUT, *PRECISION)
