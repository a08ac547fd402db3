"""Between the canonical NumPy form and Equinox, bit for bit.

Equinox names a layer's arrays weight and bias, and keeps a weight as (out_features, in_features):
all as the canonical form does (Equinox 0.13). Nothing is transposed or renamed.
"""

from __future__ import annotations

from typing import Any, final

import jax
from twofold_jax.convert import to_array
from twofold_jax.model import Layout
from twofold_jax.state import Params

from twofold.problem.state import Parameters

Path = tuple[Any, ...]


@final
class EquinoxLayout(Layout):
    """The places of the layers of a model; a tree without arrays, as of buffers, has none."""

    def to_numpy(self, tree: Params) -> Parameters:
        """Parameters or anything of their structure under canonical names."""
        leaves = jax.tree.leaves(tree)
        return {name: to_array(leaf) for name, leaf in zip(names_of(tree), leaves, strict=True)}

    def to_tree(self, like: Params, values: Parameters) -> Params:
        """Values, still in NumPy, with the structure of `like`, which may hold shapes alone."""
        leaves = [values[name] for name in names_of(like)]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)


def names_of(tree: Params) -> list[str]:
    """The canonical name of each leaf: layers with arrays are counted from the input side."""
    numbers: dict[Path, int] = {}
    names = []
    for path, _ in jax.tree.leaves_with_path(tree):
        *place, own = path
        number = numbers.setdefault(tuple(place), len(numbers))
        names.append(f"layers.{number}.{own.name}")
    return names
