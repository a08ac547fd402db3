"""Rows of a new table: the training table's own rows give the inputs of training, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twofold.errors import DataError
from twofold.problem.data import prepare
from twofold.problem.description import Categories, Description
from twofold.problem.new_rows import NewTable, original_columns
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment

TEXT = """size;colour;weight;shape;still;kind
1,5;red;10;round;7;cat
;blue;20;square;7;dog
3,25;red;35;;7;cat
2,5;green;40;round;7;dog
0,1;red;55;square;7;bird
"""


def trained(folder: Path, categorical: str, **values: object) -> tuple[Problem, Path]:
    path = folder / "mine.csv"
    path.write_text(TEXT)
    data = {"separator": ";", "decimal": ",", "missing": "median", "categorical": categorical}
    options: dict[str, object] = {f"data__{name}": value for name, value in data.items()}
    if categorical == "embedding":
        options["model"] = {
            "kind": "sequential",
            "layers": [{"kind": "embedding", "features": 3}, {"kind": "linear"}],
        }
    experiment = Experiment().with_values(
        data__source=str(path),
        data__target="kind",
        data__test_fraction=0.0,
        loss__kind="cross_entropy",
        **{**options, **values},
    )
    return prepare(experiment), path


def new(problem: Problem, path: Path) -> NewTable:
    return NewTable(path, problem.experiment, problem.description)


@pytest.mark.parametrize("categorical", ["one_hot", "embedding"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_rows_of_training_are_what_training_saw(
    categorical: str, precision: str, tmp_path: Path
) -> None:
    problem, path = trained(tmp_path, categorical, precision=precision)
    inputs, unseen = new(problem, path).inputs()
    assert inputs.dtype == problem.train.inputs.dtype
    np.testing.assert_array_equal(inputs, problem.train.inputs)
    np.testing.assert_array_equal(new(problem, path).targets(), problem.train.targets)
    assert unseen == ()


def test_columns_are_found_by_name_and_others_ignored(tmp_path: Path) -> None:
    problem, _ = trained(tmp_path, "one_hot")
    path = tmp_path / "new.csv"
    path.write_text("still;note;shape;weight;colour;size\n9;x;round;10;red;1,5\n")
    inputs, _ = new(problem, path).inputs()
    # `still` was 7 in all rows of training and says nothing there, whatever it is here
    np.testing.assert_array_equal(inputs, problem.train.inputs[:1])


def test_texts_that_training_never_had_are_said(tmp_path: Path) -> None:
    problem, _ = trained(tmp_path, "one_hot")
    path = tmp_path / "new.csv"
    path.write_text(
        "size;colour;weight;shape;still\n1;pink;1;round;7\n1;pink;1;oval;7\n1;;1;round;7\n"
    )
    inputs, unseen = new(problem, path).inputs()
    assert [(each.column, each.unseen) for each in unseen] == [
        ("colour", (("pink", 2),)),
        ("shape", (("oval", 1),)),
    ]
    colours = [n for n, name in enumerate(problem.description.inputs) if name.startswith("colour")]
    assert not inputs[:, colours].any()


def test_numbers_in_original_units_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,10\n3,30\n")
    experiment = Experiment().with_values(
        data__source=str(path), data__target="y", data__test_fraction=0.0, loss__kind="mse"
    )
    problem = prepare(experiment.with_values(precision="float64"))
    path.write_text("a,y\n2,20\n5,60\n")
    inputs, _ = new(problem, path).inputs()
    np.testing.assert_array_equal(inputs, [[0.0], [3.0]])  # mean 2, deviation 1
    np.testing.assert_array_equal(new(problem, path).targets(), [[0.0], [4.0]])  # 20, 10


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("size;color;weight;shape;still\n1;red;1;round;7\n", "no column 'colour'.*'color'"),
        ("size;colour;weight;shape;still\n1;red;x;round;7\n", "column 'weight' holds what is no"),
        ("size;colour;weight;shape;still\n1;red;;round;7\n", "'weight', row 0.*nan given.*no cell"),
        ("size;colour;weight;shape;still\n1;red;inf;round;7\n", "row 0.*inf given; allowed are"),
    ],
)
def test_what_does_not_fit_is_said(text: str, says: str, tmp_path: Path) -> None:
    problem, _ = trained(tmp_path, "one_hot")
    path = tmp_path / "new.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        new(problem, path).inputs()


def test_a_class_that_training_never_had_has_no_number(tmp_path: Path) -> None:
    problem, _ = trained(tmp_path, "one_hot")
    path = tmp_path / "new.csv"
    path.write_text("size;colour;weight;shape;still;kind\n1;red;1;round;7;fish\n")
    with pytest.raises(DataError, match=r"'fish' given; allowed are .*: bird, cat, dog"):
        new(problem, path).targets()


def test_files_that_are_no_table_of_this_model(tmp_path: Path) -> None:
    problem, _ = trained(tmp_path, "one_hot")
    for name, says in (
        ("none.csv", "cannot be read"),
        ("a.txt", r"type \.txt given"),
        ("a.npz", "cannot be read|holds texts"),
    ):
        with pytest.raises(DataError, match=says):
            new(problem, tmp_path / name).inputs()


def test_arrays_of_a_model_without_names(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "t.npz"
    inputs, targets = random.standard_normal((9, 4)), random.standard_normal((9, 2))
    np.savez(path, inputs=inputs, targets=targets)
    values = {"data__source": str(path), "data__test_fraction": 0.0, "loss__kind": "mse"}
    problem = prepare(Experiment().with_values(**values))
    found, _ = new(problem, path).inputs()
    np.testing.assert_array_equal(found, problem.train.inputs)
    np.testing.assert_allclose(new(problem, path).targets(), problem.train.targets, rtol=1e-6)
    np.savez(path, inputs=inputs[:, :3])
    with pytest.raises(DataError, match=r"shape \(9, 3\) given; allowed is \(rows, 4\)"):
        new(problem, path).inputs()
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match="had no names of columns"):
        new(problem, tmp_path / "t.csv").inputs()


def test_a_number_may_have_the_name_of_an_input_of_texts() -> None:
    known = Description(
        inputs=("a", "b=x", "b=y", "c=1"),
        one_hot=(Categories("empty", ()), Categories("b", ("x", "y"))),
    )
    assert original_columns(known) == ("a", "b", "c=1")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_table_without_rows_is_refused(mapped: bool, tmp_path: Path) -> None:
    problem, _ = trained(tmp_path, "one_hot", data__memory_map=mapped)
    path = tmp_path / "empty.csv"
    path.write_text(TEXT.splitlines()[0] + "\n")
    table = new(problem, path)
    for ask in (lambda: list(table.in_pieces()), table.targets):
        with pytest.raises(DataError, match="no rows given; allowed is 1 row or more"):
            ask()
