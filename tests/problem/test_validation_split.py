"""Rows set aside for validation: drawn from the training rows, and no part of what these say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twofold import certify
from twofold.cli.show import _sizes
from twofold.cli.show_data import data_lines
from twofold.engines.registry import open_session
from twofold.errors import DataError, SpecError
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment

PLAIN = {"data__standardize": False, "precision": "float64", "loss__kind": "mse"}


def table(folder: Path, rows: int = 20, text: str = "") -> Path:
    """Column a is the row's number; b is empty in every third row; y is ten times the number."""
    lines = ["a,b,y", *(f"{i},{'' if i % 3 == 0 else i * i},{10 * i}" for i in range(rows))]
    path = folder / "table.csv"
    path.write_text(text or "\n".join(lines) + "\n")
    return path


def prepared(path: Path, **values: object) -> Problem:
    options = {"data__target": "y", "data__test_fraction": 0.25, "data__missing": "mean", **values}
    return prepare(Experiment().with_values(data__source=str(path), **options))


@pytest.mark.parametrize("seed", [0, 7])
def test_the_splits_are_disjoint_and_the_test_rows_stay(tmp_path: Path, seed: int) -> None:
    """20 rows: 5 test rows, and of the other 15 a fifth, 3, for validation."""
    path = table(tmp_path)
    plain = prepared(path, seed=seed, **PLAIN)
    split = prepared(path, seed=seed, data__validation_fraction=0.2, **PLAIN)
    assert plain.validation is None
    assert split.validation is not None
    numbers = [batch.inputs[:, 0] for batch in (split.train, split.validation, split.test)]
    assert [len(each) for each in numbers] == [12, 3, 5]
    assert sorted(np.concatenate(numbers)) == list(range(20))
    for each in numbers:
        assert list(each) == sorted(each)
    np.testing.assert_array_equal(split.test.inputs[:, 0], plain.test.inputs[:, 0])
    np.testing.assert_array_equal(split.validation.targets, 10 * numbers[1][:, None])


def test_another_seed_sets_other_rows_aside(tmp_path: Path) -> None:
    path = table(tmp_path)
    first, second = (
        prepared(path, seed=seed, data__validation_fraction=0.4, **PLAIN).validation
        for seed in (0, 1)
    )
    assert first is not None
    assert second is not None
    assert list(first.inputs[:, 0]) != list(second.inputs[:, 0])


def test_scaling_and_fills_are_of_the_training_rows_alone(tmp_path: Path) -> None:
    path = table(tmp_path)
    raw = prepared(path, data__validation_fraction=0.4, **PLAIN)
    rows = raw.train.inputs[:, 0].astype(int)
    known = np.array([i * i for i in rows if i % 3], np.float64)
    fills = {each.column: each.value for each in raw.description.filled}
    assert fills["'b'"] == pytest.approx(known.mean(), rel=1e-15)
    scaled = prepared(path, data__validation_fraction=0.4, loss__kind="mse", precision="float64")
    assert scaled.validation is not None
    assert raw.validation is not None
    for column in (0, 1):
        of_training = raw.train.inputs[:, column]
        mean, deviation = of_training.mean(), of_training.std()
        expected = (raw.validation.inputs[:, column] - mean) / deviation
        np.testing.assert_allclose(scaled.validation.inputs[:, column], expected, rtol=1e-12)
    targets = 10.0 * rows
    expected = (raw.validation.targets[:, 0] - targets.mean()) / targets.std()
    np.testing.assert_allclose(scaled.validation.targets[:, 0], expected, rtol=1e-12)


def test_a_text_of_a_validation_row_alone_is_of_no_category(tmp_path: Path) -> None:
    lines = ["a,c,y", *(f"{i},w{i},{i}" for i in range(20))]
    path = table(tmp_path, text="\n".join(lines) + "\n")
    options = {"data__categorical": "one_hot", "data__validation_fraction": 0.4}
    problem = prepared(path, **options, **PLAIN)
    assert problem.validation is not None
    np.testing.assert_array_equal(problem.validation.inputs[:, 1:], 0)
    seen = {f"w{int(i)}" for i in problem.train.inputs[:, 0]}
    assert set(problem.description.one_hot[0].categories) == seen
    assert "in 1 validation or test row" in " ".join(data_lines(problem))


def test_fractions_that_leave_no_rows_are_told(tmp_path: Path) -> None:
    path = table(tmp_path)
    for fraction, says in ((0.02, "leaves no validation rows"), (0.99, "leaves no training rows")):
        with pytest.raises(DataError) as caught:
            prepared(path, data__validation_fraction=fraction, **PLAIN)
        words = f"data.validation_fraction: {fraction:g} of 15 rows that are not test rows {says}"
        assert words in str(caught.value)
    with pytest.raises(SpecError, match=r"data\.validation_fraction: 1\.0 given"):
        prepared(path, data__validation_fraction=1.0)
    options = {"data__validation_fraction": 0.4, "data__drop_last": True, "data__batch_size": 10}
    with pytest.raises(DataError, match="allowed is 9 or less, the training rows"):
        prepared(path, **options, **PLAIN)


def test_patience_needs_a_split_and_is_a_whole_number() -> None:
    for given in (("training.patience=5",), ("training.patience=5", "data.validation_fraction=0")):
        with pytest.raises(SpecError) as caught:
            Experiment.load("digits", given)
        assert "training.patience: 5 given without validation rows" in str(caught.value)
        assert "set data.validation_fraction above 0" in str(caught.value)
    for wrong in ("0", "2.5", "true"):
        with pytest.raises(SpecError, match=r"training\.patience: .* allowed is a whole number, 1"):
            Experiment.load("digits", (f"training.patience={wrong}", "data.validation_fraction=.2"))


def test_a_spec_with_a_split_survives_writing_and_reading() -> None:
    given = Experiment.load("digits", ("data.validation_fraction=0.25", "training.patience=4"))
    again = Experiment.from_toml(given.to_toml())
    assert (again.data.validation_fraction, again.training.patience) == (0.25, 4)
    assert again == given


def test_show_counts_the_rows_of_each_split() -> None:
    given = Experiment.load("digits").with_values(
        data__validation_fraction=0.25, training__patience=3, training__epochs=2
    )
    problem = prepare(given)  # 1,797 rows: 359 test rows, 360 of the other 1,438
    steps = -(-1078 // given.data.batch_size)
    assert _sizes(problem) == [
        "1,078 training rows, 360 validation rows, 359 test rows",
        f"{steps} steps an epoch, {2 * steps} steps at most",
    ]
    words = " ".join(data_lines(problem))
    counts = [
        int((batch.targets == 0).sum())
        for batch in (problem.train, problem.validation, problem.test)
        if batch is not None
    ]
    assert "0 in {} training, {} validation and {} test rows".format(*counts) in words


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
def test_a_split_changes_nothing_but_the_training_rows(tmp_path: Path, engine: str) -> None:
    """The same rows as a file of their own are trained with the same bits, and certified."""
    given = Experiment().with_values(
        data__rows=80,
        data__batch_size=16,
        data__test_fraction=0.25,
        data__validation_fraction=0.5,
        data__standardize=False,
        model__hidden=[8],
        training__epochs=2,
    )
    problem = prepare(given)
    assert (problem.train.rows, problem.steps_per_epoch) == (30, 2)
    np.savez(tmp_path / "rows.npz", inputs=problem.train.inputs, targets=problem.train.targets)
    own = given.with_values(
        data__source=str(tmp_path / "rows.npz"),
        data__rows=None,
        data__test_fraction=0.0,
        data__validation_fraction=0.0,
    )
    alone = prepare(own)
    np.testing.assert_array_equal(alone.train.inputs, problem.train.inputs)
    losses = [open_session(each, engine).run(4).tobytes() for each in (problem, alone)]
    assert losses[0] == losses[1]


def test_an_experiment_with_a_split_is_certified() -> None:
    given = Experiment.load("diabetes").with_values(
        data__validation_fraction=0.3, training__patience=2
    )
    report = certify(given, engines=["torch:eager"], precisions=["float32"])
    assert report.passed
    order = next(rung for rung in report.rungs if rung.rung == "data order")
    assert order.verdict == "certified"
