"""Many seeds in one training step: `torch.func.vmap` over stacked parameters."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from twofold.engines.seeds import SeedsTogether
from twofold.problem.problem import Problem, batch_indices, initial_parameters, slot_names
from twofold.problem.state import Array, TrainState, fresh_state
from twofold.spec import threefry
from twofold.spec.model import dropouts
from twofold_torch import convert, device
from twofold_torch.feed import Feed
from twofold_torch.layers import Masks
from twofold_torch.masks import dropout_keys
from twofold_torch.optimizer import SLOT_KEYS, build_optimizer, build_schedule
from twofold_torch.program import build_program


@final
class TorchSeeds(SeedsTogether):
    """The model is called with each seed's parameters in turn, by vmap in one go.

    The optimizers of `torch.optim` work element by element, so that they take stacked parameters
    as they are. With dropout each seed has its own masks: drawn by `nn.Dropout`
    (`randomness="different"`) or, with `rng = "shared"`, from its keys before the model is called.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        spec = first.experiment
        self._problems = problems
        self._device = device.choose_device(spec)
        self._feed = Feed(first, self._device)
        programs = [build_program(problem, self._device) for problem in problems]
        self._loss = programs[0].loss
        self._parameters, _ = stack_module_state([program.model for program in programs])
        self._names = convert.canonical_names(programs[0].model)
        if spec.rng == "shared":
            self._load_initial_parameters()
        self._model = copy.deepcopy(programs[0].model).to("meta")  # its form alone
        self._optimizer = build_optimizer(
            spec.optimizer, list(self._parameters.values()), stacked=1
        )
        self._schedule = build_schedule(spec.optimizer, self._optimizer)
        self._losses = torch.func.vmap(self._loss_of, randomness="different")
        dropout_seed = threefry.stream_key(spec.seed, threefry.DROPOUT)[1]
        self._random = device.RandomStream(dropout_seed, self._device)
        self._step = 0

    def run(self, steps: int) -> Array:
        """Take steps on each problem's own batches; returns the losses (steps, seeds)."""
        with self._random.drawing():
            return convert.to_array(torch.stack([self._train_step() for _ in range(steps)]))

    def state(self, seed: int) -> TrainState:
        """A copy of the train state of one of the seeds, counted from 0."""
        parameters = {
            self._names[path]: convert.to_array(stacked[seed])
            for path, stacked in self._parameters.items()
        }
        names = slot_names(self._problems[0].experiment)
        if self._step == 0:  # PyTorch makes slots at the first step
            return fresh_state(parameters, names)
        slots = {
            slot: {
                self._names[path]: convert.to_array(
                    self._optimizer.state[stacked][SLOT_KEYS[slot]][seed]
                )
                for path, stacked in self._parameters.items()
            }
            for slot in names
        }
        return TrainState(parameters, slots, self._step)

    def _train_step(self) -> Tensor:
        rows = torch.stack(
            [torch.tensor(batch_indices(problem, self._step)) for problem in self._problems]
        ).to(self._device)  # (seeds, batch)
        self._optimizer.zero_grad(set_to_none=True)
        inputs, targets = self._feed.inputs[rows], self._feed.targets[rows]
        masks = self._masks(rows.shape[1])
        losses: Tensor = self._losses(self._parameters, inputs, targets, masks)  # (seeds,)
        losses.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self._optimizer.step()
        if self._schedule is not None:
            self._schedule.step()
        self._step += 1
        return losses.detach()

    def _masks(self, rows: int) -> Masks:
        """The step's shared masks, if any: (seeds, batch, features) for each dropout layer."""
        spec = self._problems[0].experiment
        layers = len(dropouts(spec.model))
        if spec.rng != "shared" or layers == 0:
            return ()
        step = range(self._step, self._step + 1)
        seeds = [problem.experiment.seed for problem in self._problems]
        keys = [dropout_keys(seed, step, layers, self._device) for seed in seeds]
        return self._model.masks(torch.cat(keys), rows)  # of (seeds, dropout layers, 2)

    def _loss_of(
        self, parameters: dict[str, Tensor], inputs: Tensor, targets: Tensor, masks: Masks
    ) -> Tensor:
        """One seed's loss on its own batch, with its own masks if they are shared."""
        logits: Tensor = functional_call(self._model, parameters, (inputs, None, masks or None))
        return self._loss(logits, targets)

    def _load_initial_parameters(self) -> None:
        each = [initial_parameters(problem) for problem in self._problems]
        with torch.no_grad():
            for path, stacked in self._parameters.items():
                name = self._names[path]
                values = [convert.to_tensor(own[name], self._device) for own in each]
                stacked.copy_(torch.stack(values))
