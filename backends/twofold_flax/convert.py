"""Between the canonical NumPy form and Flax, bit for bit.

`nnx.Linear` keeps its kernel as (in_features, out_features), the transpose of the canonical weight,
and what norms call scale, mean and var is canonically weight, running_mean and running_var. This is
the only place that transposes and renames.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import jax
import numpy as np
from flax import nnx
from twofold_jax.convert import to_array
from twofold_jax.model import Layout
from twofold_jax.state import Params

from twofold.problem.state import Array, Parameters

Path = tuple[Any, ...]
CANONICAL: Final[Mapping[str, str]] = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
"""Flax's names of a layer's arrays (Flax 0.12), and the canonical ones."""


@final
class FlaxLayout(Layout):
    """The places of the layers of a model; `params` are the model's own, values or shapes."""

    def __init__(self, params: Params) -> None:
        self._numbers = layer_numbers(params)

    def to_numpy(self, tree: Params) -> Parameters:
        """Parameters, buffers or anything of the structure of either, under canonical names."""
        own_names, named = nnx.to_pure_dict(tree), {}
        for path, number in self._numbers.items():
            layer = functools.reduce(lambda node, key: node.get(key, {}), path, own_names)
            for own, short in CANONICAL.items():
                if own in layer:
                    named[f"layers.{number}.{short}"] = _turned(own, to_array(layer[own]))
        return named

    def to_tree(self, like: Params, values: Parameters) -> Params:
        """Values, still in NumPy, with the structure of `like`, which may hold shapes alone."""

        def filled(node: Any, path: Path) -> Any:
            if isinstance(node, dict):
                return {key: filled(child, (*path, key)) for key, child in node.items()}
            *place, own = path
            name = f"layers.{self._numbers[tuple(place)]}.{CANONICAL[own]}"
            return _turned(own, values[name])

        tree: Params = jax.tree.map(lambda leaf: leaf, like)  # a new one: the next line changes it
        nnx.replace_by_pure_dict(tree, filled(nnx.to_pure_dict(like), ()))
        return tree


def layer_numbers(params: Params) -> dict[Path, int]:
    """Where the layers with parameters are, and their canonical numbers: input side first."""
    return {path: number for number, path in enumerate(_places(nnx.to_pure_dict(params)))}


def _places(node: Any, path: Path = ()) -> Iterator[Path]:
    if not any(isinstance(child, dict) for child in node.values()):
        yield path
        return
    for key in sorted(node):
        yield from _places(node[key], (*path, key))


def _turned(own: str, array: Array) -> Array:
    """A kernel (in_features, out_features) as a weight (out_features, in_features), or back."""
    return np.ascontiguousarray(array.T) if own == "kernel" else array
