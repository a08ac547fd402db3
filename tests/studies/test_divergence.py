"""Free-running divergence: exact symmetries are exact, distances are those of the norm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twofold import Experiment
from twofold.cli.diverge import parting_words
from twofold.engines.registry import open_session
from twofold.errors import SpecError, UnknownEngine
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import exact
from twofold.parity.oracle.losses import evaluate_loss
from twofold.parity.oracle.network import forward
from twofold.problem.data import prepare
from twofold.problem.problem import Problem, initial_state
from twofold.results.json_files import read_json, write_json
from twofold.studies.distances import PARTED, Curve, NotFinite, relative_distance
from twofold.studies.divergence import (
    SAMPLES,
    in_float64,
    measure,
    run_freely,
    run_permuted,
    sampled_steps,
)
from twofold.studies.symmetries import draw_symmetry, names_of


def small_problem(precision: str = "float32", **values: Any) -> Problem:
    experiment = Experiment.load("digits").with_values(
        model__hidden=[12, 9], model__dropout=0.0, precision=precision, **values
    )
    return prepare(experiment)


@pytest.mark.parametrize("field", ["class_weights", "pos_weight"])
def test_weights_of_the_loss_go_where_their_outputs_go(field: str) -> None:
    """The loss of the permuted problem is that of the plain one."""
    weights = [0.1 * 2.0**place for place in range(10)]
    kind = "cross_entropy" if field == "class_weights" else "bce_with_logits"
    problem = small_problem()
    spec = problem.experiment.with_values(loss={"kind": kind, field: weights})
    random = np.random.default_rng(1)
    logits = random.normal(size=(problem.test.rows, 10))
    targets = problem.test.targets
    if field == "pos_weight":
        targets = (random.random(logits.shape) < 0.5).astype(np.float32)
    rows = replace(problem.test, targets=targets)
    problem = replace(problem, experiment=spec, test=rows, train=rows)
    symmetry = draw_symmetry(problem, 0)
    moved, arithmetic = symmetry.problem(problem), arithmetic_for("float64")
    plain = evaluate_loss(spec.loss, exact(logits, arithmetic), targets, arithmetic)
    theirs = evaluate_loss(
        moved.experiment.loss,
        exact(logits[:, symmetry.outputs], arithmetic),
        moved.test.targets,
        arithmetic,
    )
    assert moved.experiment.loss != spec.loss
    assert float(theirs.loss.value) == pytest.approx(float(plain.loss.value), rel=1e-14)


def with_texts(dropout: float = 0.0) -> Problem:
    experiment = Experiment().with_values(
        model__hidden=[12, 9],
        model__embedding_features=5,
        model__dropout=dropout,
        data__source="synthetic-categories",
        data__categorical="embedding",
        data__rows=300,
    )
    return prepare(experiment)


@pytest.mark.parametrize("texts", [False, True])
def test_a_symmetry_only_relabels_the_logits(texts: bool) -> None:
    """The oracle, in float64: logits of the permuted network are those of the plain, permuted."""
    problem = with_texts() if texts else small_problem()
    symmetry = draw_symmetry(problem, 0)
    permuted, state = symmetry.problem(problem), initial_state(problem)
    arithmetic = arithmetic_for("float32")
    plain = forward(problem.experiment, state, problem.test.inputs, None, arithmetic)
    moved = forward(
        problem.experiment, symmetry.state(state), permuted.test.inputs, None, arithmetic
    )
    outputs = symmetry.outputs
    np.testing.assert_allclose(moved.value, plain.value[:, outputs], rtol=0, atol=1e-13)
    own = plain.value[np.arange(problem.test.rows), problem.test.targets]
    theirs = moved.value[np.arange(problem.test.rows), permuted.test.targets]
    np.testing.assert_allclose(theirs, own, rtol=0, atol=1e-13)


def test_a_symmetry_is_undone_bit_for_bit() -> None:
    problem = small_problem()
    symmetry, state = draw_symmetry(problem, 3), initial_state(problem)
    moved = symmetry.state(state)
    assert not np.array_equal(
        moved.parameters["layers.1.weight"], state.parameters["layers.1.weight"]
    )
    back = symmetry.undone(moved)
    for name, array in state.parameters.items():
        np.testing.assert_array_equal(back.parameters[name], array)


def test_an_embedding_is_relabelled_in_its_features_and_its_numbers_alone() -> None:
    problem = with_texts()
    symmetry, state = draw_symmetry(problem, 0), initial_state(problem)
    moved, weight = symmetry.state(state), state.parameters["layers.0.weight"]
    assert sorted(symmetry.inputs[:4]) == [0, 1, 2, 3]
    assert symmetry.inputs[4:].tolist() == [4, 5, 6]
    first = moved.parameters["layers.0.weight"]
    order = [int(np.argmax((weight == column[:, None]).all(axis=0))) for column in first.T]
    assert sorted(order) == list(range(5)) != order
    np.testing.assert_array_equal(first, weight[:, order])
    back = symmetry.undone(moved)
    for name, array in state.parameters.items():
        np.testing.assert_array_equal(back.parameters[name], array)
    masked = draw_symmetry(with_texts(0.5), 0)
    assert masked.inputs.tolist() == list(range(7))
    assert masked.layers[0].out.tolist() == list(range(4 + 3 * 5))


def test_symmetric_runs_are_the_same_run_in_float64() -> None:
    """All four permutations at once, ten steps: apart by float64's rounding only."""
    problem = in_float64(small_problem())
    plain = run_freely(open_session(problem, "torch:eager"), problem, [10])
    permuted = run_permuted("torch:eager", problem, draw_symmetry(problem, 0), [10])
    assert 0 < relative_distance(permuted[0], plain[0]) < 1e-12


def test_with_dropout_the_masks_keep_their_places() -> None:
    problem = in_float64(prepare(Experiment.load("digits").with_values(model__dropout=0.3)))
    assert names_of(problem) == ("input features", "outputs")
    plain = run_freely(open_session(problem, "torch:eager"), problem, [5])
    permuted = run_permuted("torch:eager", problem, draw_symmetry(problem, 0), [5])
    assert 0 < relative_distance(permuted[0], plain[0]) < 1e-12


def test_a_regression_is_symmetric_too() -> None:
    problem = in_float64(prepare(Experiment.load("diabetes")))
    plain = run_freely(open_session(problem, "torch:eager"), problem, [5])
    permuted = run_permuted("torch:eager", problem, draw_symmetry(problem, 0), [5])
    assert 0 < relative_distance(permuted[0], plain[0]) < 1e-12


def test_the_float64_run_starts_from_the_float32_numbers() -> None:
    problem = small_problem()
    wide = in_float64(problem)
    np.testing.assert_array_equal(wide.train.inputs, problem.train.inputs)
    assert wide.train.inputs.dtype == np.float64
    assert wide.train.targets.dtype == np.int64


def test_sampled_steps() -> None:
    assert sampled_steps(1) == (1,)
    assert sampled_steps(SAMPLES) == tuple(range(1, SAMPLES + 1))
    many = sampled_steps(10_000)
    assert many[0] == 1
    assert many[-1] == 10_000
    assert len(many) <= SAMPLES
    assert list(many) == sorted(set(many))


def test_relative_distance_by_hand() -> None:
    left = {"a": np.array([3.0, 0.0], np.float32), "b": np.array([0.0], np.float32)}
    right = {"a": np.array([0.0, 0.0], np.float32), "b": np.array([4.0], np.float32)}
    assert relative_distance(left, right) == 5 / 4
    assert relative_distance({"a": left["a"]}, {"a": right["a"]}) == 3.0
    assert np.isnan(relative_distance({"a": np.array([np.nan])}, {"a": np.array([1.0])}))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_distance_to_what_is_not_finite_is_not_a_number_and_warns_of_nothing(bad: float) -> None:
    good, spoilt = {"a": np.array([1.0, 2.0])}, {"a": np.array([bad, 2.0])}
    assert np.isnan(relative_distance(spoilt, good))
    assert np.isnan(relative_distance(good, spoilt))
    assert np.isnan(relative_distance(spoilt, spoilt))


@pytest.mark.filterwarnings("error")
def test_squares_that_would_overflow_do_not() -> None:
    huge = {"a": np.array([3e200]), "b": np.array([4e200])}
    assert relative_distance(huge, {"a": np.zeros(1), "b": np.array([4e200])}) == 0.75
    assert relative_distance(huge, {"a": np.zeros(1), "b": np.zeros(1)}) == pytest.approx(5e200)


def test_what_is_not_finite_parts_and_is_never_near() -> None:
    lost, near = (0.0, np.nan, np.nan), (0.0, 0.0, 0.0)
    curve = Curve("from float64", "a", "b", (1, 5, 25), lost, {"x": near, "y": lost})
    assert [(p.tensor, p.step) for p in curve.partings] == [("y", 5)]
    assert parting_words(curve, PARTED) == "first not finite at step 5: y"


@pytest.mark.filterwarnings("error")
def test_a_training_that_leaves_the_range_says_when_and_whose_doing_it_is(tmp_path: Any) -> None:
    """Linear regression at so large a rate grows without end, in float64 too."""
    experiment = Experiment(name="explode").with_values(
        model__hidden=[8],
        loss__kind="mse",
        optimizer__kind="sgd",
        optimizer__weight_decay=0.0,
        optimizer__learning_rate=5.0,
        data__rows=80,
        data__batch_size=16,
    )
    result = measure(experiment, steps=30, engines=["torch:eager"], floor_runs=1)
    runs = {run.run: run for run in result.not_finite}
    wide = in_float64(prepare(experiment))
    session = open_session(wide, "torch:eager")
    largest = []
    for _ in range(30):
        session.run(1)
        parameters = session.state().parameters.values()
        largest.append(max(float(np.abs(array).max()) for array in parameters))
    limit = float(np.finfo(np.float32).max)
    beyond = next(number for number, size in enumerate(largest, 1) if not size <= limit)
    assert result.beyond_float32 == beyond
    assert runs["torch:eager"].step <= beyond
    assert runs["torch:eager"].step < runs["float64"].step
    step = runs["torch:eager"].step
    assert runs["torch:eager"].words == f"torch:eager is not finite from step {step} on"
    for curve in result.curves:
        finite = np.isfinite(curve.distance)
        assert finite[: step - 1].all()
        assert not finite[step - 1 :].any()
        assert curve.partings
    stored = read_json(
        write_json(tmp_path / "divergence.json", result.to_json()), "twofold.divergence/1"
    )
    assert stored["not_finite"][1] == {"run": "torch:eager", "step": step, "last_finite": step - 1}
    assert stored["curves"][0]["distance"][-1] is None


def test_a_step_between_two_samples_is_not_made_up() -> None:
    assert NotFinite("a", 9, 8).words == "a is not finite from step 9 on"
    assert NotFinite("a", 24, 21).words == "a is not finite at step 24 (finite at 21)"


def test_partings_come_in_their_order() -> None:
    early, late, never = (0.0, PARTED * 2, 1.0), (0.0, PARTED, PARTED * 3), (0.0, 0.0, 0.0)
    curve = Curve("from float64", "a", "b", (1, 5, 25), early, {"x": late, "y": never, "z": early})
    assert [(p.tensor, p.step) for p in curve.partings] == [("z", 5), ("x", 25)]


def test_a_result_has_every_curve_and_is_json(tmp_path: Any) -> None:
    result = measure(
        small_problem().experiment, steps=4, engines=["torch:eager", "flax:jit"], floor_runs=1
    )
    kinds = [(curve.kind, curve.left, curve.right) for curve in result.curves]
    assert kinds == [
        ("from float64", "torch:eager", "float64"),
        ("from float64", "flax:jit", "float64"),
        ("between engines", "torch:eager", "flax:jit"),
        ("noise floor", "torch:eager", "torch:eager"),
        ("noise floor", "flax:jit", "flax:jit"),
    ]
    assert result.symmetries == ("input features", "hidden units", "outputs", "batch rows")
    for curve in result.curves:
        assert len(curve.distance) == 4
        assert 0 < curve.distance[0] < 1e-4
    path = write_json(tmp_path / "divergence.json", result.to_json())
    stored = read_json(path, "twofold.divergence/1")
    assert stored["steps"] == [1, 2, 3, 4]
    assert set(stored["curves"][0]["tensors"]) == set(stored["curves"][1]["tensors"])


def test_bad_requests_are_refused() -> None:
    experiment = Experiment.load("digits")
    with pytest.raises(SpecError, match="steps: 0"):
        measure(experiment, steps=0)
    with pytest.raises(SpecError, match="precision"):
        measure(experiment.with_values(precision="float64"), steps=1)
    with pytest.raises(SpecError, match="rng"):
        measure(experiment.with_values(rng="native"), steps=1)
    with pytest.raises(UnknownEngine):
        measure(experiment, steps=1, engines=["torch:eagre"])
    with pytest.raises(SpecError, match="engines"):
        measure(experiment, steps=1, engines=[])
