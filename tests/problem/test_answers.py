"""Answers in names and units: from logits written down here, against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twofold.errors import DataError
from twofold.problem.answers import answers
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment


def problem_of(folder: Path, text: str, loss: str, **values: object) -> Problem:
    path = folder / "table.csv"
    path.write_text(text)
    options = {"data__target": "y", "data__test_fraction": 0.0, **values}
    return prepare(Experiment().with_values(data__source=str(path), loss__kind=loss, **options))


def test_the_name_of_the_class_with_the_largest_logit(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "a,y\n1,red\n2,NA\n3,blue\n", "cross_entropy")
    logits = np.array([[0.0, 2, 1], [3, 1, 2], [0, 0, 0.5], [1, 1, 1]], np.float32)
    assert answers(problem, logits).tolist() == ["blue", "NA", "red", "NA"]


def test_relabelled_numbers_come_back_as_their_names(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "a,y\n1,30\n2,10\n3,30\n4,10\n", "cross_entropy")
    assert answers(problem, np.array([[0.0, 1.0], [1.0, 0.0]])).tolist() == ["30", "10"]


def test_labels_without_names_are_their_numbers(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "a,y\n1,0\n2,1\n", "cross_entropy")
    bare = Problem(problem.experiment, problem.train, problem.test)
    assert answers(bare, np.array([[0.0, 1.0]])).tolist() == ["1"]


def test_numbers_in_the_targets_own_units(tmp_path: Path) -> None:
    """Mean 20 and standard deviation 10 by hand: a logit of 0.5 is 25."""
    problem = problem_of(tmp_path, "a,y\n1,10\n2,30\n", "mse")
    np.testing.assert_array_equal(answers(problem, np.array([[0.5], [-1]])), [[25], [10]])
    plain = problem_of(tmp_path, "a,y\n1,10\n2,30\n", "mse", data__standardize=False)
    np.testing.assert_array_equal(answers(plain, np.array([[0.5]], np.float32)), [[0.5]])


def test_yes_or_no_and_probabilities(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "a,y\n1,yes\n2,no\n", "bce_with_logits")
    logits = np.array([[0.1], [0.0], [-3.0]], np.float32)
    assert answers(problem, logits).tolist() == ["yes", "no", "no"]
    numbers = problem_of(tmp_path, "a,y\n1,0.25\n2,1\n", "bce_with_logits")
    found = answers(numbers, np.array([[0.0], [np.log(3)], [-800], [800]]))
    np.testing.assert_allclose(found, [[0.5], [0.75], [0], [1]], rtol=1e-15, atol=1e-300)


def test_logits_that_are_not_finite_have_no_answer(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "a,y\n1,10\n2,30\n", "mse")
    with pytest.raises(DataError, match=r"logits\[1\]: not finite"):
        answers(problem, np.array([[0.5], [np.nan]]))


def test_the_names_stay_with_a_problem_of_another_seed(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "a,y\n1,red\n2,blue\n", "cross_entropy")
    other = replace(problem, experiment=problem.experiment.model_copy(update={"seed": 5}))
    assert answers(other, np.array([[0.0, 1.0]])).tolist() == ["red"]
