"""The model of a spec: a sequence of layers, or the short form of one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal, final

from pydantic import Field

from twofold.errors import SpecError
from twofold.spec.initial_values import BiasInit, Init
from twofold.spec.layers.activation import Activation, ActivationName
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.embedding import Categories, Embedding
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.layer_norm import LayerNorm
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.residual import Plain, Residual
from twofold.spec.layers.sequence import Layers, Placed, every, kinds_in, place, with_each
from twofold.spec.section import Fraction, HiddenSizes, PositiveInt, Section

Norm = Literal["none", "layer_norm", "batch_norm"]


@final
class Sequential(Section):
    """A model as a list of layers, `[[model.layers]]` in TOML; the last one is linear.

    `in_features` and `out_features` may be left out: the data then decides.
    """

    kind: Literal["sequential"] = "sequential"
    in_features: PositiveInt | None = None
    out_features: PositiveInt | None = None
    layers: Layers


@final
class Mlp(Section):
    """A multi-layer perceptron: linear layers with an activation and dropout after each hidden one.

    The short form of a list of layers. `norm` stands between each hidden linear layer and its
    activation. With `residual` each hidden layer, all but the first, is a residual block.
    `in_features` and `out_features` may be left out: the data then decides. `init` and `bias_init`
    are those of every linear layer. With `embedding_features` the first layer is an embedding of
    the columns of texts, whose `categories` the data decides.
    """

    kind: Literal["mlp"] = "mlp"
    in_features: PositiveInt | None = None
    hidden: HiddenSizes = (128, 128)
    out_features: PositiveInt | None = None
    activation: ActivationName = "relu"
    dropout: Fraction = 0.0
    bias: bool = True
    norm: Norm = "none"
    residual: bool = False
    embedding_features: PositiveInt | None = None
    categories: Categories | None = None
    init: Init = "pytorch"
    bias_init: BiasInit = "pytorch"

    @property
    def layers(self) -> tuple[LayerKind, ...]:
        """What it is short for, input side first."""
        layers: list[LayerKind] = []
        if self.embedding_features is not None:
            layers.append(Embedding(features=self.embedding_features, categories=self.categories))
        for index, features in enumerate(self.hidden):
            block = tuple(self._hidden_layer(features))
            layers += [Residual(layers=block)] if self.residual and index > 0 else block
        return (*layers, self._linear(None))

    def _hidden_layer(self, features: int) -> Iterator[Plain]:
        yield self._linear(features)
        if self.norm != "none":
            yield LayerNorm() if self.norm == "layer_norm" else BatchNorm()
        yield Activation(function=self.activation)
        if self.dropout > 0:
            yield Dropout(rate=self.dropout)

    def _linear(self, features: int | None) -> Linear:
        return Linear(
            out_features=features, bias=self.bias, init=self.init, bias_init=self.bias_init
        )


Model = Annotated[Mlp | Sequential, Field(discriminator="kind")]


@lru_cache(maxsize=256)
def placed(model: Mlp | Sequential) -> tuple[Placed, ...]:
    """The layers of a model in their places, input side first.

    Raises SpecError where in_features or out_features are not known, or widths do not chain.
    """
    if model.in_features is None or model.out_features is None:
        raise SpecError("model.in_features and model.out_features are not resolved")
    try:
        return place(model.layers, model.in_features, model.out_features)
    except ValueError as error:
        raise SpecError(str(error)) from None


def numbered(model: Mlp | Sequential) -> tuple[Placed, ...]:
    """The layers that have parameters, by their numbers."""
    return tuple(each for each in every(placed(model)) if each.number is not None)


def dropouts(model: Mlp | Sequential) -> tuple[tuple[int, float], ...]:
    """The features and the rate of each dropout layer, in the order in which they draw masks."""
    layers = [(each.width, each.layer) for each in every(placed(model))]
    return tuple((width, layer.rate) for width, layer in layers if isinstance(layer, Dropout))


def with_initial_values(
    model: Mlp | Sequential, init: Init, bias_init: BiasInit
) -> Mlp | Sequential:
    """The model with these initial values in every linear layer."""
    values = {"init": init, "bias_init": bias_init}
    if isinstance(model, Mlp):
        return model.model_copy(update=values)

    def changed(layer: LayerKind) -> LayerKind:
        return layer.model_copy(update=values) if isinstance(layer, Linear) else layer

    return model.model_copy(update={"layers": with_each(model.layers, changed)})


def embedding_of(model: Mlp | Sequential) -> Embedding | None:
    """The embedding that a model begins with, if it does."""
    first = model.layers[0]
    return first if isinstance(first, Embedding) else None


def with_categories(model: Mlp | Sequential, categories: tuple[int, ...]) -> Mlp | Sequential:
    """The model with these categories in its embedding."""
    changed = {"categories": categories}
    if isinstance(model, Mlp):
        return model.model_copy(update=changed)
    first, *rest = model.layers
    return model.model_copy(update={"layers": (first.model_copy(update=changed), *rest)})


def across_rows(model: Mlp | Sequential) -> str | None:
    """What the first layer that computes over the rows of a batch is called; None without one."""
    return next((layer.words() for layer in kinds_in(model.layers) if layer.across_rows), None)


def has(model: Mlp | Sequential, kind: type[LayerKind]) -> bool:
    """Whether a layer of a kind is anywhere in a model."""
    return any(isinstance(layer, kind) for layer in kinds_in(model.layers))
