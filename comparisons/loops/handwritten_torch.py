"""The training loop of `torch:eager` as one would write it without Twofold, in one place.

Same model, same batches, same initial values. It draws the same masks with Twofold's cipher, so
that what the two differ by is Twofold itself. For MLPs with ReLU, cross-entropy and AdamW.
"""

from __future__ import annotations

import itertools
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from twofold_torch.masks import SharedMasks, dropout_keys

from comparisons.loops.parts import layer_sizes
from twofold.problem.problem import Problem, epoch_order, initial_parameters
from twofold.problem.state import Array
from twofold.spec.model import Mlp, dropouts

CPU = torch.device("cpu")


class Network(nn.Module):
    """The lesson's network."""

    def __init__(self, sizes: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        pairs = itertools.pairwise(sizes)
        self.layers = nn.ModuleList(nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairs)
        self.scale = 1.0 / (1.0 - dropout)

    def forward(self, inputs: Tensor, masks: tuple[Tensor, ...]) -> Tensor:
        """Logits (batch, out_features)."""
        hidden = inputs
        for layer, mask in zip(self.layers, masks, strict=False):
            hidden = F.relu(layer(hidden)) * mask * self.scale
        logits: Tensor = self.layers[-1](hidden)
        return logits


@final
class Loop:
    """Epoch after epoch, batches by tensor indexing."""

    def __init__(self, problem: Problem) -> None:
        experiment = problem.experiment
        model, optimizer = experiment.model, experiment.optimizer
        assert optimizer.kind == "adamw"
        self._experiment, self._step = experiment, 0
        self._inputs = torch.from_numpy(problem.train.inputs.copy())
        self._targets = torch.from_numpy(problem.train.targets.copy())
        assert isinstance(model, Mlp)
        self._network = Network(layer_sizes(problem), model.dropout)
        self._draw = SharedMasks(dropouts(model))
        initial = initial_parameters(problem).values()
        with torch.no_grad():
            for parameter, array in zip(self._network.parameters(), initial, strict=True):
                parameter.copy_(torch.from_numpy(array))
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(),
            lr=optimizer.learning_rate,
            betas=optimizer.betas,
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
        )
        self._per_epoch = problem.steps_per_epoch
        self._start_epoch(0)

    def run(self, steps: int, /) -> Array:
        """Take training steps; returns the losses (steps,)."""
        losses = []
        self._network.train()
        for _ in range(steps):
            epoch, position = divmod(self._step, self._per_epoch)
            if position == 0:
                self._start_epoch(epoch)
            rows = self._batches[position]
            masks = self._draw(self._keys[position], len(rows))
            self._optimizer.zero_grad(set_to_none=True)
            logits = self._network(self._inputs[rows], masks)
            loss = F.cross_entropy(logits, self._targets[rows])
            loss.backward()
            self._optimizer.step()
            losses.append(loss.detach())
            self._step += 1
        return np.asarray(torch.stack(losses).numpy())

    def synchronize(self) -> None:
        """Nothing to wait for on a CPU."""

    def compilations(self) -> int:
        """Nothing is compiled."""
        return 0

    def _start_epoch(self, epoch: int) -> None:
        experiment = self._experiment
        rows = len(self._inputs)
        order = epoch_order(experiment.seed, epoch, rows, experiment.data.shuffle)
        self._batches = torch.split(torch.tensor(order), experiment.data.batch_size)
        first = epoch * self._per_epoch
        steps = range(first, first + self._per_epoch)
        keys = dropout_keys(experiment.seed, steps, len(dropouts(experiment.model)), CPU)
        self._keys = keys.unbind(0)


def build(problem: Problem) -> Loop:
    """The loop for a problem."""
    return Loop(problem)
