"""The network: forward pass, loss and every gradient, with bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from twofold.parity.oracle.accumulation import added, share_roundings, weighted
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, Given, narrowed, stored
from twofold.parity.oracle.layers.applied import Applied, BatchStatistics, Masks, Pass
from twofold.parity.oracle.layers.batch_norm import buffers_after
from twofold.parity.oracle.layers.sequence import through
from twofold.parity.oracle.losses import evaluate_loss
from twofold.problem.micro_batches import parts_of
from twofold.problem.problem import Batch
from twofold.spec.experiment import Experiment
from twofold.spec.model import placed


class Held(Protocol):
    """What a forward pass takes from a state; either may be exact or carry bounds of its own."""

    @property
    def parameters(self) -> Given:
        """Parameters by name."""

    @property
    def buffers(self) -> Given:
        """Buffers by name."""


@dataclass(frozen=True)
class LossAndGradients:
    """The loss, shape (), the logits it came from and the gradient of every parameter.

    `buffers` are those after the step, which follow from the batch `statistics` that the norms saw.
    """

    logits: Bounded
    loss: Bounded
    gradients: dict[str, Bounded]
    buffers: Mapping[str, Bounded] = field(default_factory=dict)
    statistics: Mapping[int, BatchStatistics] = field(default_factory=dict)


def forward(
    experiment: Experiment,
    held: Held,
    inputs: npt.NDArray[np.floating],
    masks: Masks | None,
    arithmetic: Arithmetic,
) -> Bounded:
    """Logits (batch, out_features) of inputs (batch, in_features); no `masks` in evaluation mode.

    Training mode without dropout has an empty tuple of masks.
    """
    return _applied(experiment, held, inputs, masks, arithmetic).outputs


def _applied(
    experiment: Experiment,
    held: Held,
    inputs: npt.NDArray[np.floating],
    masks: Masks | None,
    arithmetic: Arithmetic,
    parts: int = 1,
) -> Applied:
    given = Pass(held.parameters, held.buffers, masks, arithmetic, parts)
    return through(placed(experiment.model), narrowed(inputs, arithmetic), given)


def loss_and_gradients(
    experiment: Experiment,
    held: Held,
    batch: Batch,
    masks: Masks,
    arithmetic: Arithmetic,
) -> LossAndGradients:
    """Loss of a batch in training mode, the gradients by reverse differentiation, new buffers.

    With micro-batches, or processes that take means, the values are those of the whole batch, for
    which the sum over its parts stands; the bounds leave room for that sum
    (`twofold.parity.oracle.accumulation`).
    """
    processes = arithmetic.processes
    cut = parts_of(batch.rows, experiment.training.micro_batches * processes)
    parts = len(cut)
    run = _applied(experiment, held, batch.inputs, masks, arithmetic, parts)
    result = evaluate_loss(experiment.loss, run.outputs, batch.targets, arithmetic)
    roundings = share_roundings(experiment.loss, cut, processes)
    result = weighted(result, parts, roundings, arithmetic)
    delta = stored(result.logits_gradient, arithmetic)  # (batch, out)
    gradients = run.pull(delta, False).parameters
    ordered = {name: added(gradients[name], parts, arithmetic) for name in held.parameters}
    buffers = buffers_after(placed(experiment.model), held.buffers, run.statistics, arithmetic)
    return LossAndGradients(run.outputs, result.loss, ordered, buffers, run.statistics)
