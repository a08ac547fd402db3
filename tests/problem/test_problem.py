"""Problems: orders, batches, initial values and masks, bit for bit the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import SpecError
from twofold.problem import problem as problems
from twofold.problem.data import prepare
from twofold.problem.problem import Batch, Problem
from twofold.spec.experiment import Data, Experiment, Mlp, Training


def small(**data):
    values = {"rows": 50, "batch_size": 16, "test_fraction": 0.0} | data
    return prepare(
        Experiment(
            model=Mlp(in_features=4, hidden=(8, 5), out_features=3, dropout=0.25),
            data=Data(**values),
        )
    )


def test_layers_need_a_resolved_model():
    rows = Batch(np.zeros((1, 2), np.float32), np.zeros(1, np.int64))
    with pytest.raises(SpecError, match=r"model\.in_features"):
        _ = Problem(Experiment(), rows, rows).layers


def test_an_epoch_visits_every_row_once_and_ends_with_a_smaller_batch():
    problem = small()
    assert problem.steps_per_epoch == 4
    batches = [problems.batch_indices(problem, step) for step in range(4)]
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(50))


def test_drop_last_drops_the_smaller_batch():
    problem = small(drop_last=True)
    assert problem.steps_per_epoch == 3
    assert all(len(problems.batch_indices(problem, step)) == 16 for step in range(7))


def test_epochs_differ_and_are_the_same_each_time():
    problem = small()
    first = problems.batch_indices(problem, 0)
    assert not np.array_equal(first, problems.batch_indices(problem, 4))
    order = problems.epoch_order(problem.experiment.seed, 0, problem.train.rows, True)
    np.testing.assert_array_equal(first, order[:16])
    np.testing.assert_array_equal(first, problems.batch_indices(small(), 0))


def test_without_shuffle_rows_come_in_the_data_order():
    problem = small(shuffle=False)
    np.testing.assert_array_equal(problems.batch_indices(problem, 5), np.arange(16, 32))


def test_batch_at_takes_inputs_and_targets_of_the_same_rows():
    problem = small()
    rows = problems.batch_indices(problem, 2)
    batch = problems.batch_at(problem, 2)
    np.testing.assert_array_equal(batch.inputs, problem.train.inputs[rows])
    np.testing.assert_array_equal(batch.targets, problem.train.targets[rows])
    assert batch.rows == 16


@pytest.mark.parametrize(("training", "steps"), [({"epochs": 3}, 12), ({"steps": 5}, 5)])
def test_total_steps(training, steps):
    problem = small()
    experiment = problem.experiment.model_copy(update={"training": Training(**training)})
    assert Problem(experiment, problem.train, problem.test).total_steps == steps


@settings(derandomize=True, max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), precision=st.sampled_from(["float32", "float64"]))
def test_initial_values_stay_in_the_range_of_their_layer(seed, precision):
    problem = prepare(
        Experiment(
            seed=seed,
            precision=precision,
            model=Mlp(in_features=4, hidden=(9,), out_features=2),
            data=Data(rows=8),
        )
    )
    parameters = problems.initial_parameters(problem)
    shapes = {name: array.shape for name, array in parameters.items()}
    assert shapes == {
        "layers.0.weight": (9, 4),
        "layers.0.bias": (9,),
        "layers.1.weight": (2, 9),
        "layers.1.bias": (2,),
    }
    for name, array in parameters.items():
        assert array.dtype == precision
        assert np.abs(array).max() <= (1 / 2 if name.startswith("layers.0") else 1 / 3) + 1e-7


def test_initial_values_have_the_mean_and_variance_of_the_uniform_distribution():
    problem = prepare(
        Experiment(model=Mlp(in_features=100, hidden=(500,), out_features=2), data=Data(rows=5))
    )
    weight = problems.initial_parameters(problem)["layers.0.weight"].astype(np.float64)
    # uniform in +-0.1: variance 0.1^2 / 3; n = 50,000
    assert abs(weight.mean()) < 5 * np.sqrt(0.01 / 3 / weight.size)
    assert weight.var() == pytest.approx(0.01 / 3, rel=0.02)


def test_without_bias_there_are_weights_only():
    problem = prepare(Experiment(model=Mlp(bias=False, hidden=(3,)), data=Data(rows=5)))
    names = ["layers.0.weight", "layers.1.weight"]
    assert list(problems.initial_parameters(problem)) == names


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        ({"kind": "sgd"}, []),
        ({"kind": "sgd", "momentum": 0.9}, ["momentum"]),
        ({"kind": "adam"}, ["first_moment", "second_moment"]),
        ({"kind": "adamw"}, ["first_moment", "second_moment"]),
    ],
)
def test_a_fresh_state_has_zero_slots(optimizer, slots):
    experiment = Experiment.model_validate({"optimizer": optimizer, "data": {"rows": 5}})
    state = problems.initial_state(prepare(experiment))
    assert state.step == 0
    assert list(state.slots) == slots
    for slot in state.slots.values():
        assert list(slot) == list(state.parameters)
        assert not any(array.any() for array in slot.values())


def test_states_cannot_be_changed_by_accident():
    state = problems.initial_state(small())
    with pytest.raises(TypeError):
        state.parameters["layers.0.weight"] = np.zeros(1)
    with pytest.raises(ValueError, match="read-only"):
        problems.batch_indices(small(), 0)[0] = 1


def test_masks_keep_the_right_share_and_differ_by_step_and_layer():
    problem = small()
    masks = problems.dropout_masks(problem, 0, 4000)
    assert [mask.shape for mask in masks] == [(4000, 8), (4000, 5)]
    for mask in masks:
        assert abs(mask.mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / mask.size)
    assert not np.array_equal(masks[0][:, :5], masks[1])
    assert not np.array_equal(masks[0], problems.dropout_masks(problem, 1, 4000)[0])


def test_no_dropout_no_masks():
    problem = prepare(Experiment(data=Data(rows=5)))
    assert problems.dropout_masks(problem, 0, 5) == ()
