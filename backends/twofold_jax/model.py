"""What a library of JAX makes of a spec's model, as the rest of a backend sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from jax import Array

from twofold.problem.problem import Problem
from twofold.problem.state import Parameters
from twofold_jax.state import Params, Variables

Masks = tuple[Array, ...]


@dataclass(frozen=True)
class Draws:
    """What dropout uses in a step: `masks`, bool (batch, features) for each dropout layer.

    With `rng = "native"` a `key`, from which the library's own layers make theirs. Neither is given
    without dropout and in evaluation.
    """

    key: Array | None = None
    masks: Masks | None = None


NO_DRAWS: Final = Draws()


class Apply(Protocol):
    """The forward pass as a pure function."""

    def __call__(
        self,
        params: Params,
        buffers: Params,
        inputs: Array,
        draws: Draws = NO_DRAWS,
        *,
        training: bool = False,
    ) -> tuple[Array, Params]:
        """Logits (batch, out_features) of `inputs` (batch, in_features), and the buffers after."""
        ...


class Layout(ABC):
    """Between the library's trees and canonical names, bit for bit; one for each model."""

    @abstractmethod
    def to_numpy(self, tree: Params) -> Parameters:
        """Parameters, buffers or anything of the structure of either, under canonical names."""

    @abstractmethod
    def to_tree(self, like: Params, values: Parameters) -> Params:
        """Values, still in NumPy, with the structure of `like`, which may hold shapes alone."""


@dataclass(frozen=True)
class Model:
    """A model as pure functions of trees of arrays.

    `variables` are as the library initialises them. With `rng = "shared"` shapes alone stand for
    them: nobody would use their values, and to draw them JAX compiles its operations anew for the
    shapes of every layer.
    """

    variables: Variables
    apply: Apply
    layout: Layout


BuildModel = Callable[[Problem], Model]
