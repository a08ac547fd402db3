"""Many seeds in one training step: `jax.vmap` over stacked states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import final

import jax
import jax.numpy as jnp
import numpy as np

from twofold.engines.seeds import SeedsTogether
from twofold.problem.problem import Problem, batch_indices, initial_parameters, slot_names
from twofold.problem.state import Array, TrainState, fresh_state
from twofold_jax import convert, device
from twofold_jax.feed import Feed
from twofold_jax.model import BuildModel
from twofold_jax.program import Program, build_program
from twofold_jax.state import State


@final
class JaxSeeds(SeedsTogether):
    """The training step of one seed, by vmap in one go, compiled.

    With dropout each seed has its own key.
    """

    def __init__(self, problems: Sequence[Problem], build_model: BuildModel) -> None:
        first = problems[0]
        spec = first.experiment
        self._problems = problems
        self._device = device.choose_device(spec)
        self._arithmetic = partial(device.arithmetic, spec.precision, self._device)
        with self._arithmetic():
            self._feed = Feed(first, self._device)
            programs = [build_program(problem, build_model) for problem in problems]
            states = [self._initial(*each) for each in zip(problems, programs, strict=True)]
            self._state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
            keys = [program.dropout for program in programs if program.dropout is not None]
            self._keys = jnp.stack(keys) if keys else None  # (seeds, 2)
            over_keys = 0 if keys else None
            self._layout = programs[0].model.layout
            train_step = partial(_train_step, programs[0])
            over_seeds = jax.vmap(train_step, in_axes=(0, over_keys, None, None, 0))
            self._train_step = jax.jit(over_seeds, donate_argnums=0)
        self._step = 0

    def run(self, steps: int) -> Array:
        """Take steps on each problem's own batches; returns the losses (steps, seeds)."""
        losses = []
        with self._arithmetic():
            for _ in range(steps):
                rows = np.stack([batch_indices(each, self._step) for each in self._problems])
                feed = self._feed.inputs, self._feed.targets, rows.astype(np.int32)
                self._state, of_seeds = self._train_step(self._state, self._keys, *feed)
                losses.append(of_seeds)
                self._step += 1
            return convert.to_array(jnp.stack(losses))

    def state(self, seed: int) -> TrainState:
        """A copy of the train state of one of the seeds, counted from 0."""
        with self._arithmetic():
            own = jax.tree.map(lambda stacked: stacked[seed], self._state)
            slots = slot_names(self._problems[0].experiment)
            return convert.state_to_numpy(self._layout, own, slots)

    def _initial(self, problem: Problem, program: Program) -> State:
        """One seed's initial state."""
        model = program.model
        shared = problem.experiment.rng == "shared"
        own = model.layout.to_numpy
        values = initial_parameters(problem) if shared else own(model.variables.params)
        state = fresh_state(values, slot_names(problem.experiment))
        return convert.state_to_jax(model, program.optimizer, state, self._device)


def _train_step(
    program: Program,
    state: State,
    key: jax.Array | None,
    inputs: jax.Array,
    targets: jax.Array,
    rows: jax.Array,
) -> tuple[State, jax.Array]:
    """One seed's step on some of the training rows, with its own dropout key."""
    return replace(program, dropout=key).train_step(state, inputs[rows], targets[rows])
