"""A pair at its generic point: states and calls of both sides, for the point and its twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, final

import numpy as np

from twofold.port.causes.hypotheses import Hypothesis
from twofold.port.judge.batches import Batches
from twofold.port.side import Array, Call, Mask, Mode, Precision, Side, Tensor, Want
from twofold.port.twins import ULP, Lazy, jittered, nudged
from twofold.port.weights import Link, Weights
from twofold.port.where.tables import Replacement


@final
class Subject:
    """What every rung needs: the sides, their weights, and their calls."""

    def __init__(
        self,
        original: Side,
        port: Side,
        batches: Batches,
        weights: Weights,
        *,
        inputs: Sequence[int | str] | None,
        seed: int,
    ) -> None:
        self.original = original
        self.port = port
        self.batches = batches
        self.weights = weights
        self.inputs = None if inputs is None else tuple(inputs)
        self.seed = seed
        linked = {name for link in weights.links for name in link.original}
        self._tensors: dict[str, Tensor] = {
            tensor.name: tensor for tensor in original.tensors() if tensor.name in linked
        }
        self._hypothesis: Hypothesis | None = None
        self._changed = 0
        self._replacements: tuple[Replacement, ...] = ()
        self._point = {name: jittered(tensor, seed) for name, tensor in self._tensors.items()}

    def with_hypothesis(self, hypothesis: Hypothesis, changed: int) -> Subject:
        """The same pair with one side changed as the hypothesis says; `changed` says which."""
        other = copy(self)
        other._hypothesis = hypothesis
        other._changed = changed if hypothesis.side is None else hypothesis.side
        return other

    def with_tables(self, replacements: tuple[Replacement, ...]) -> Subject:
        """The same pair whose original has other numbers for some tables."""
        other = copy(self)
        other._replacements = replacements
        return other

    @property
    def has_loss(self) -> bool:
        """Whether the sides have losses of their own."""
        return self.original.has_loss

    def links_with(self, names: Callable[[str], bool]) -> list[Link]:
        """The links whose tensors of the original are all meant."""
        return [link for link in self.weights.links if all(names(n) for n in link.original)]

    def trainable(self, name: str) -> bool:
        """Whether a tensor of the original is a parameter that is trained."""
        tensor = self._tensors[name]
        return tensor.role == "parameter" and tensor.trainable

    def jittered(self, name: str) -> bool:
        """Whether the generic point of a tensor is another than the person's."""
        own = self._tensors[name].value
        return not np.array_equal(self._point[name], own.astype(self._point[name].dtype))

    def is_buffer(self, name: str) -> bool:
        """Whether a tensor of the original is a buffer."""
        return self._tensors[name].role == "buffer"

    def attributes(self, name: str) -> Mapping[str, object]:
        """What is known of the module that holds a tensor of the original."""
        return self._tensors[name].attributes

    def state(
        self, twin: int = 0, ulp: float = ULP, point: Mapping[str, Array] | None = None
    ) -> Mapping[str, Array]:
        """The original's tensors at the point, or at another one, or a twin of it."""
        given = self._point if point is None else point
        return Lazy(
            {
                name: partial(_twin, given, self.seed, name, twin, ulp)
                for name in self._tensors
                if name in given
            }
        )

    def ported(self, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """A state of the original as the port's, made link by link when it is asked for."""
        cache: dict[int, dict[str, Array]] = {}

        def make(index: int, link: Link, name: str) -> Array:
            if index not in cache:
                cache.clear()
                cache[index] = self.weights.to_port({n: state[n] for n in link.original})
            return cache[index][name]

        return Lazy(
            {
                name: partial(make, index, link, name)
                for index, link in enumerate(self.weights.links)
                if all(n in state for n in link.original)
                for name in link.port
            }
        )

    def calls(
        self,
        mode: Mode,
        want: set[Want],
        *,
        twin: int = 0,
        ulp: float = ULP,
        batch: int = 0,
        precision: Precision = "float64",
        point: Mapping[str, Array] | None = None,
        projections: tuple[Any, Any] = (None, None),
        masks: tuple[tuple[Mask, ...], tuple[Mask, ...]] = ((), ()),
        wide: bool = True,
    ) -> tuple[Call, Call]:
        """The same question to both sides."""
        state = self.state(twin, ulp, point)
        call = Call(
            state,
            self.batches.original(batch, twin, ulp),
            mode=mode,
            precision=precision,
            want=frozenset(want),
            inputs=self.inputs,
            projection=self._projected(projections[0], twin, ulp),
            masks=masks[0],
            wide=wide,
            replacements=self._replacements,
        )
        other = replace(
            call,
            tensors=self.ported(state),
            batch=self.batches.port(batch, twin, ulp),
            projection=self._projected(projections[1], twin, ulp),
            masks=masks[1],
            replacements=(),
        )
        if self._hypothesis is None:
            return call, other
        calls = [call, other]
        calls[self._changed] = self._hypothesis.of(calls[self._changed])
        return calls[0], calls[1]

    def _projected(
        self, projection: Mapping[str, Array] | None, twin: int, ulp: float
    ) -> Mapping[str, Array] | None:
        """A twin's projection, without which sums of it would have no noise."""
        if projection is None:
            return None
        return {
            path: nudged(value, self.seed, f"projection {path}", twin, ulp)
            for path, value in projection.items()
        }


def _twin(point: Mapping[str, Array], seed: int, name: str, twin: int, ulp: float) -> Array:
    return nudged(point[name], seed, name, twin, ulp)
