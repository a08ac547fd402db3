"""The weights of a pair: found, or as a person gives them; what shapes leave open is tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from twofold.errors import BadInput
from twofold.port.judge.batches import Batches, Outputs
from twofold.port.judge.subject import Subject
from twofold.port.side import Call, Side
from twofold.port.twins import TWINS, measure
from twofold.port.weights import Weights, find, program_of, toml
from twofold.port.weights.weights import Inventory

REORDERED: Final = (
    "the port flattens feature maps in another order than the original, so that it is the same "
    "function only with the inputs of one layer in another order:"
)


def find_weights(
    original: Side,
    port: Side,
    batches: Batches,
    inputs: Sequence[int | str] | None,
    given: str | Path | Mapping[str, Any],
    seed: int,
) -> Weights:
    """Which weight is which; a mapping says it for some of them. Raises BadInput and SideFailed."""
    names = None if inputs is None else tuple(inputs)
    calls = Call({}, batches.original(0), inputs=names), Call({}, batches.port(0), inputs=names)
    original.look(calls[0])
    port.look(calls[1])
    first, second = (Inventory.of(side.tensors(), side.label) for side in (original, port))
    if given != "auto" and not isinstance(given, Mapping):
        return toml.load(given, first, second)
    said = toml.moves_of(given, first, second) if isinstance(given, Mapping) else ()
    found = find(program_of(original, calls[0]), program_of(port, calls[1]), said)
    if not found.open_choices:
        return found
    settled = found.settle(_Distance(original, port, batches, names, seed))
    return replace(settled, doubts=(*settled.doubts, *_reordered(found, settled)))


def _reordered(found: Weights, settled: Weights) -> list[str]:
    """Sentences on weights that fit only after another order of what a layer flattens."""
    if settled.open_choices:
        return []
    used = {(move.original, move.port, move.axes) for move in settled.moves}
    return [
        f"{REORDERED} {move.original}"
        for choice in found.open_choices
        if choice.kind == "flattening"
        for move in choice.candidates[0]
        if (move.original, move.port, move.axes) not in used
    ]


class _Distance:
    """How far two forwards are apart with a mapping, in the scatter of the original's twins."""

    def __init__(
        self,
        original: Side,
        port: Side,
        batches: Batches,
        inputs: tuple[int | str, ...] | None,
        seed: int,
    ) -> None:
        self._sides = original, port
        self._batches = batches
        self._inputs = inputs
        self._seed = seed
        self._runs: list[Mapping[str, Any]] = []

    def __call__(self, weights: Weights) -> float:
        subject = Subject(
            *self._sides, self._batches, weights, inputs=self._inputs, seed=self._seed
        )
        if not self._runs:
            for twin in range(TWINS + 1):
                call, _ = subject.calls("evaluation", {"outputs"}, twin=twin)
                self._runs.append(self._sides[0].answer(call).outputs)
        _, call = subject.calls("evaluation", {"outputs"})
        answer = self._sides[1].answer(call).outputs
        try:
            outputs = Outputs(self._runs[0], answer, self._batches)
        except BadInput:
            return float("inf")
        ratios = [
            measure([outputs.turned(a, run[a]) for run in self._runs], [answer[b]]).ratio
            for a, b in outputs.pairs
        ]
        return max((np.inf if ratio is None else ratio for ratio in ratios), default=np.inf)
