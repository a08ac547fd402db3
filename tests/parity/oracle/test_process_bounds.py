"""The oracle's bounds for processes: they hold for the mean that DDP takes, and wrong ones fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from judged import LOSSES, batch_of, experiment_of, masks_of, state_of
from plain import Plain
from test_accumulation_bounds import cut_problems, in_parts, worst

from twofold.parity.oracle.accumulation import share_roundings
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.network import LossAndGradients, loss_and_gradients
from twofold.problem.micro_batches import parts_of
from twofold.problem.problem import Batch
from twofold.problem.state import TrainState
from twofold.spec.experiment import Experiment, Mse
from twofold.spec.losses import row_weights

Masks = tuple[np.ndarray[Any, Any], ...]


def judged(
    experiment: Experiment,
    state: TrainState,
    batch: Batch,
    masks: Masks,
    dtype: type,
    processes: int,
) -> LossAndGradients:
    arithmetic = arithmetic_for("float32" if dtype is np.float32 else "float64", processes)
    return loss_and_gradients(experiment, state, batch, masks, arithmetic)


def mean_over_processes(
    plain: Plain,
    experiment: Experiment,
    state: TrainState,
    batch: Batch,
    masks: Masks,
    processes: int,
    *,
    weighted: bool = True,
    seed: int = 0,
) -> tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]]]:
    """What DDP does: each process's share of the sum is `processes` times too large, and the mean.

    In the engine's precision; gradients are multiplied by a rounded 1 / processes before they are
    added up, in an order that differs from tensor to tensor.
    """
    kind, random = plain.dtype, np.random.default_rng(seed)
    weights = row_weights(experiment.loss, batch.targets)
    parts = parts_of(batch.rows, processes, weights)
    losses, gradients = [], []
    for part in parts:
        rows = part.rows
        own = Batch(batch.inputs[rows], batch.targets[rows])
        step = plain.step(experiment, state, own, tuple(mask[rows] for mask in masks))
        share = kind(part.share * processes if weighted else 1.0)
        losses.append(kind(share * step.loss))
        gradients.append({name: share * array for name, array in step.gradients.items()})
    mean = {}
    for name in state.parameters:
        terms = [plain.kept(each[name] * kind(1 / processes)) for each in gradients]
        total = np.zeros_like(state.parameters[name])
        for place in random.permutation(len(terms)):
            total = plain.kept(total + terms[place])
        mean[name] = total
    return np.asarray(kind(np.sum(losses, dtype=kind) / kind(processes))), mean


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(case=cut_problems())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_mean_over_processes_stays_within_its_bounds(dtype: type, case: dict[str, Any]) -> None:
    cut, seed, rows = case["experiment"], case["seed"], case["rows"]
    processes, experiment = cut.training.micro_batches, in_parts(cut, 1)
    state = state_of(experiment, seed, dtype, warm=False)
    batch = batch_of(experiment, seed, dtype, rows, case["scale"])
    masks = masks_of(experiment, seed, rows)
    plain = Plain(dtype, case["order"], case["style"], seed, case["flush"])
    result = judged(experiment, state, batch, masks, dtype, processes)
    computed = mean_over_processes(plain, experiment, state, batch, masks, processes, seed=seed)
    assert max(worst(computed, result)) <= 1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("rows", "processes"), [(7, 3), (30, 4), (64, 3)])
def test_a_mean_without_shares_falls_outside(loss: str, rows: int, processes: int) -> None:
    """The mean over processes is that over rows for equal parts alone; one row is enough."""
    experiment = experiment_of((10, 32, 3), "relu", loss)
    state = state_of(experiment, 6, np.float32, warm=False)
    batch = batch_of(experiment, 6, np.float32, rows)
    result = judged(experiment, state, batch, (), np.float32, processes)
    given_to = Plain(np.float32), experiment, state, batch, ()
    assert max(worst(mean_over_processes(*given_to, processes), result)) <= 1
    assert worst(mean_over_processes(*given_to, processes, weighted=False), result)[1] > 1


def test_no_more_is_allowed_than_the_mean_rounds() -> None:
    """Three roundings of a share, three of the mean; the values stay, the bounds grow by that."""
    parts = parts_of(32, 4)
    assert share_roundings(Mse(), parts, processes=1) == 3
    assert share_roundings(Mse(), parts, processes=4) == 6
    experiment = experiment_of((5, 8, 3), loss="mse")
    state = state_of(experiment, 5, np.float32, warm=False)
    batch = batch_of(experiment, 5, np.float32, 32)
    one, four = (judged(experiment, state, batch, (), np.float32, n) for n in (1, 4))
    for name, alone in one.gradients.items():
        shared = four.gradients[name]
        np.testing.assert_array_equal(shared.value, alone.value)
        assert (shared.bound >= alone.bound).all()
        assert (shared.bound <= 1.4 * alone.bound).all()
