"""Columns of texts as rows of an embedding, from a file and from the synthetic table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold.cli.show_data import data_lines
from twofold.errors import DataError
from twofold.problem import categories
from twofold.problem.categories import require_rows_of
from twofold.problem.data import prepare
from twofold.problem.description import Categories
from twofold.problem.problem import Problem
from twofold.problem.synthetic import TEXTS
from twofold.spec.experiment import Experiment
from twofold.spec.layers.embedding import Embedding

TABLE = "c,x,d,y\nred,1,u,1\nblue,2,,2\nred,3,v,3\ngreen,4,u,4\n"
OPTIONS: dict[str, Any] = {
    "precision": "float64",
    "loss__kind": "mse",
    "data__target": "y",
    "data__missing": "mean",
    "data__categorical": "embedding",
    "data__test_fraction": 0.0,
    "data__standardize": False,
    "data__batch_size": 2,
    "model__embedding_features": 2,
}


def prepared(folder: Path, text: str, **values: Any) -> Problem:
    path = folder / "table.csv"
    path.write_text(text)
    return prepare(Experiment().with_values(data__source=str(path), **{**OPTIONS, **values}))


def synthetic(**values: Any) -> Experiment:
    changes = {"data__source": "synthetic-categories", "data__categorical": "embedding", **values}
    return Experiment().with_values(model__embedding_features=2, **changes)


def test_texts_become_rows_of_the_table_after_the_numbers(tmp_path: Path) -> None:
    """blue, green, red are rows 0 to 2, 3 is for others; u, v are 4, 5, and 6 an empty cell."""
    problem = prepared(tmp_path, TABLE)
    expected = [[1, 2, 4], [2, 0, 6], [3, 2, 5], [4, 1, 4]]
    np.testing.assert_array_equal(problem.train.inputs, expected)
    assert problem.description.inputs == ("x", "c", "d")
    assert problem.description.embedded == (
        Categories("c", ("blue", "green", "red")),
        Categories("d", ("u", "v")),
    )
    model = problem.experiment.model
    assert (model.categories, model.in_features) == ((3, 2), 3)  # type: ignore[union-attr]
    assert problem.layers[0].width_after == 1 + 2 * 2


def test_rows_of_the_table_are_not_standardized(tmp_path: Path) -> None:
    problem = prepared(tmp_path, "c,x,y\nu,1,1\nv,3,2\n", data__standardize=True)
    np.testing.assert_array_equal(problem.train.inputs, [[-1, 0], [1, 1]])


def test_a_table_of_texts_alone(tmp_path: Path) -> None:
    problem = prepared(tmp_path, "c,y\nu,1\nv,3\n")
    np.testing.assert_array_equal(problem.train.inputs, [[0], [1]])


def test_a_text_of_test_rows_alone_gets_the_last_row(tmp_path: Path) -> None:
    """Each text is in one row, so that no test row has a text of the training rows."""
    text = "c,x,y\n" + "".join(f"w{i},{i},{i}\n" for i in range(10))
    problem = prepared(tmp_path, text, data__test_fraction=0.2)
    np.testing.assert_array_equal(problem.train.inputs[:, 1], np.arange(8))
    np.testing.assert_array_equal(problem.test.inputs[:, 1], [8, 8])
    (column,) = problem.description.embedded
    assert column.unseen == tuple((f"w{int(x)}", 1) for x in problem.test.inputs[:, 0])
    words = " ".join(data_lines(problem))
    assert "embedding: c, 8 texts of the training rows" in words
    assert "not in training, so in the row of other texts: 'w" in words


@pytest.mark.parametrize(
    ("text", "values", "says"),
    [
        ("x,y\n1,2\n3,4\n", {}, "gives it no column of texts; leave the embedding out"),
        (TABLE, {"model__categories": [3, 3]}, r"\[3, 3\] given; allowed is \[3, 2\], the texts"),
        (
            "c,y\nu,1\nv,3\n",
            {"data__categorical": "one_hot"},
            "no column of texts; set data.categorical = 'embedding'",
        ),
    ],
)
def test_an_embedding_that_does_not_fit_the_table(
    tmp_path: Path, text: str, values: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        prepared(tmp_path, text, **values)


def test_more_rows_than_float32_can_number_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(categories, "MOST_ROWS", 6)
    with pytest.raises(DataError, match=r"7 rows of the embedding given.*at most 6; leave out"):
        prepared(tmp_path, TABLE)


def test_inputs_that_name_no_row_of_their_column_are_refused() -> None:
    embedding = Embedding(features=2, categories=(3, 2))
    good = np.array([[0.5, 3.0, 4.0], [0.5, 0.0, 6.0]])
    require_rows_of(embedding, good)
    for column, wrong in ((1, 4.0), (1, -1.0), (2, 3.0), (2, 7.0), (2, 4.5)):
        bad = good.copy()
        bad[1, column] = wrong
        with pytest.raises(DataError, match=rf"inputs\[1, {column}\]: {wrong:g} given; allowed"):
            require_rows_of(embedding, bad)


def test_the_synthetic_table_has_texts_that_no_training_row_has() -> None:
    problem = prepare(synthetic(data__rows=2_000))
    assert problem.description.inputs == ("x0", "x1", "x2", "x3", *TEXTS)
    shape, colour, place = problem.description.embedded
    assert (len(shape.categories), len(colour.categories)) == (4, 12)
    assert not shape.unseen
    assert not colour.unseen
    assert place.unseen
    last = sum(map(len, (shape.categories, colour.categories, place.categories))) + 2
    rows = int((problem.test.inputs[:, 6] == last).sum())
    assert rows == sum(count for _, count in place.unseen)
    again = prepare(synthetic(data__rows=2_000))
    np.testing.assert_array_equal(again.train.inputs, problem.train.inputs)
    other = prepare(synthetic(data__rows=2_000, seed=1))
    assert not np.array_equal(other.train.inputs, problem.train.inputs)


def test_the_first_texts_are_the_most_frequent() -> None:
    """The k-th of 4 with probability log(1 + 1/k) / log(5): 43, 25, 18, 14 per cent."""
    inputs = prepare(synthetic(data__rows=20_000, data__test_fraction=0.0)).train.inputs
    shares = np.bincount(inputs[:, 4].astype(int), minlength=4) / 20_000
    np.testing.assert_allclose(shares, np.log1p(1 / np.arange(1, 5)) / np.log(5), atol=0.015)


@pytest.mark.parametrize("loss", ["mse", "huber", "bce_with_logits", "cross_entropy"])
def test_the_synthetic_table_has_targets_for_every_loss(loss: str) -> None:
    problem = prepare(synthetic(data__rows=60, loss__kind=loss, model__out_features=2))
    assert problem.out_features == 2
    one_hot = {"data__categorical": "one_hot", "data__source": "synthetic-categories"}
    plain = prepare(Experiment().with_values(data__rows=60, loss__kind=loss, **one_hot))
    assert plain.in_features > 7


def test_the_synthetic_table_asks_what_becomes_of_its_texts() -> None:
    with pytest.raises(DataError, match=r"columns of texts; set data.categorical = 'one_hot' or"):
        prepare(Experiment().with_values(data__source="synthetic-categories"))
