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
from twofold_flax import convert, device
from twofold_flax.feed import Feed
from twofold_flax.program import Program, build_program
from twofold_flax.state import State


@final
class FlaxSeeds(SeedsTogether):
    """The training step of one seed, by vmap in one go, compiled.

    With dropout each seed has its own key.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        spec = first.experiment
        self._problems = problems
        self._device = device.choose_device(spec)
        self._arithmetic = partial(device.arithmetic, spec.precision, self._device)
        with self._arithmetic():
            self._feed = Feed(first, self._device)
            programs, states = zip(*(self._built(problem) for problem in problems), strict=True)
            self._state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
            keys = [program.dropout for program in programs if program.dropout is not None]
            self._keys = jnp.stack(keys) if keys else None  # (seeds, 2)
            over_keys = 0 if keys else None
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
            return convert.state_to_numpy(own, slot_names(self._problems[0].experiment))

    def _built(self, problem: Problem) -> tuple[Program, State]:
        """One seed's program and initial state."""
        program, built = build_program(problem)
        shared = problem.experiment.rng == "shared"
        own = convert.parameters_to_numpy
        values = initial_parameters(problem) if shared else own(built.params)
        state = fresh_state(values, slot_names(problem.experiment))
        return program, convert.state_to_flax(built, program.optimizer, state, self._device)


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
