"""Free-running divergence: exact symmetries are exact, distances are those of the norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twofold import Experiment
from twofold.engines.registry import open_session
from twofold.errors import SpecError, UnknownEngine
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.network import forward
from twofold.problem.data import prepare
from twofold.problem.problem import Problem, initial_state
from twofold.report.results import read_json, write_json
from twofold.studies.divergence import (
    PARTED,
    SAMPLES,
    Curve,
    in_float64,
    measure,
    relative_distance,
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


def test_a_symmetry_only_relabels_the_logits() -> None:
    """The oracle, in float64: logits of the permuted network are those of the plain, permuted."""
    problem = small_problem()
    symmetry = draw_symmetry(problem, 0)
    permuted, state = symmetry.problem(problem), initial_state(problem)
    arithmetic = arithmetic_for("float32")
    plain = forward(problem.experiment, state.parameters, problem.test.inputs, (), arithmetic)
    moved = forward(
        problem.experiment,
        symmetry.state(state).parameters,
        permuted.test.inputs,
        (),
        arithmetic,
    )
    outputs = symmetry.features[-1]
    np.testing.assert_allclose(
        moved.logits.value, plain.logits.value[:, outputs], rtol=0, atol=1e-13
    )
    own = plain.logits.value[np.arange(problem.test.rows), problem.test.targets]
    theirs = moved.logits.value[np.arange(problem.test.rows), permuted.test.targets]
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
