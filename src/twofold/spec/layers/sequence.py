"""A sequence of layers: each in its place, with its width, its number and its names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.embedding import Embedding
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.residual import MOST_LAYERS, Plain, Residual

Layer = Annotated[Plain | Residual | Embedding, Field(discriminator="kind")]
Layers = Annotated[tuple[Layer, ...], Field(strict=False, max_length=MOST_LAYERS)]


@dataclass(frozen=True)
class Placed:
    """A layer in its place.

    `width` features enter and `width_after` leave. `number` counts the layers with parameters,
    input side first, those in residual blocks among them; `draw` counts the dropout layers so.
    Each is None where it does not count. `block` holds the layers inside a residual.
    """

    layer: LayerKind
    width: int
    width_after: int
    number: int | None = None
    draw: int | None = None
    block: tuple[Placed, ...] = ()

    def named(self, short: str) -> str:
        """The canonical name of one of its parameters or buffers: `layers.0.weight`."""
        assert self.number is not None
        return f"layers.{self.number}.{short}"

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical names and shapes of its own parameters."""
        shapes = self.layer.parameter_shapes(self.width)
        return {self.named(short): shape for short, shape in shapes.items()}

    @property
    def buffer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical names and shapes of its own buffers."""
        shapes = self.layer.buffer_shapes(self.width)
        return {self.named(short): shape for short, shape in shapes.items()}


def place(layers: Sequence[LayerKind], in_features: int, out_features: int) -> tuple[Placed, ...]:
    """The layers of a model in their places; the last one gives `out_features`.

    Raises ValueError, with a sentence that begins with the field, where widths do not chain.
    """
    require_chain(layers, in_features, out_features)
    if isinstance(layers[0], Embedding) and layers[0].categories is None:
        raise ValueError("model.layers[0].categories: not resolved")
    last = layers[-1]
    assert isinstance(last, Linear)
    whole = (*layers[:-1], last.model_copy(update={"out_features": out_features}))
    return tuple(_placed(whole, in_features, _Counts()))


@dataclass
class _Counts:
    numbers: int = 0
    draws: int = 0


def _placed(layers: Sequence[LayerKind], width: int, counts: _Counts) -> Iterator[Placed]:
    for layer in layers:
        after = layer.width_after(width)
        if isinstance(layer, Residual):
            yield Placed(layer, width, after, block=tuple(_placed(layer.layers, width, counts)))
        elif isinstance(layer, Dropout):
            yield Placed(layer, width, after, draw=counts.draws)
            counts.draws += 1
        elif layer.parameter_shapes(width):
            yield Placed(layer, width, after, number=counts.numbers)
            counts.numbers += 1
        else:
            yield Placed(layer, width, after)
        width = after


def every(placed: Sequence[Placed]) -> Iterator[Placed]:
    """All layers, input side first, each residual before the layers inside it."""
    for each in placed:
        yield each
        yield from every(each.block)


def kinds_in(layers: Sequence[LayerKind]) -> Iterator[LayerKind]:
    """All layers of a spec, those inside residual blocks too."""
    for layer in layers:
        yield layer
        if isinstance(layer, Residual):
            yield from layer.layers


def with_each(
    layers: Sequence[LayerKind], change: Callable[[LayerKind], LayerKind]
) -> tuple[LayerKind, ...]:
    """The layers of a spec, each as `change` makes it, those inside residual blocks too."""
    return tuple(
        layer.model_copy(update={"layers": tuple(map(change, layer.layers))})
        if isinstance(layer, Residual)
        else change(layer)
        for layer in layers
    )


def require_chain(
    layers: Sequence[LayerKind],
    in_features: int | None,
    out_features: int | None,
    path: str = "model.layers",
) -> None:
    """Raise ValueError, with a sentence that begins with the field, where layers do not fit.

    What is None is not known yet, and fits.
    """
    if not layers:
        raise ValueError(f"{path}: none given; allowed is one or more, the last a linear layer")
    last, place = layers[-1], f"{path}[{len(layers) - 1}]"
    if not isinstance(last, Linear):
        raise ValueError(
            f"{place}: {last.words()} is the last layer; allowed is a linear layer, which gives "
            "the logits; add one after it"
        )
    _chained(layers[:-1], in_features, path)
    if None not in (last.out_features, out_features) and last.out_features != out_features:
        raise ValueError(
            f"{place}.out_features: {last.out_features} given; allowed is {out_features}, the "
            "outputs of the model; leave it out to take them"
        )
    _require_width(last, _chained(layers[:-1], in_features, path), place)


def _chained(layers: Sequence[LayerKind], width: int | None, path: str) -> int | None:
    """The width after layers that are not the last of the model, None where it is not known."""
    for index, layer in enumerate(layers):
        place = f"{path}[{index}]"
        if isinstance(layer, Embedding):
            width = _after_embedding(layer, index, width, place)
        elif isinstance(layer, Residual):
            width = _after_residual(layer, width, place)
        elif isinstance(layer, Linear):
            _require_width(layer, width, place)
            if layer.out_features is None:
                raise ValueError(
                    f"{place}.out_features: nothing given; allowed is a whole number, 1 or more: "
                    "only the last layer of a model may leave it out"
                )
            width = layer.out_features
    return width


def _require_width(layer: Linear, width: int | None, place: str) -> None:
    if None not in (layer.in_features, width) and layer.in_features != width:
        raise ValueError(
            f"{place}.in_features: {layer.in_features} given; allowed is {width}, the features "
            "that the layer before gives; leave it out to take them"
        )


def _after_embedding(layer: Embedding, index: int, width: int | None, place: str) -> int | None:
    if index > 0:
        raise ValueError(
            f"{place}: an embedding after other layers given; allowed is the first place alone, "
            "for it takes the columns of the data"
        )
    if layer.categories is None or width is None:
        return None
    if len(layer.categories) > width:
        raise ValueError(
            f"{place}.categories: {len(layer.categories)} columns of texts given; allowed are at "
            f"most {width}, the columns of the data"
        )
    return layer.width_after(width)


def _after_residual(layer: Residual, width: int | None, place: str) -> int | None:
    if not layer.layers:
        raise ValueError(f"{place}.layers: none given; allowed is one or more")
    after = _chained(layer.layers, width, f"{place}.layers")
    if width is not None and after != width:
        raise ValueError(
            f"{place}: a residual block of {width} features in and {after} out given; allowed is "
            f"as many out as in, so that they can be added; let its last linear layer give {width}"
        )
    return after
