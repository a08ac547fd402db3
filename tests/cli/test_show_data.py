"""What `twofold show` says of a table: columns, target, classes, what was done, the least score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twofold.cli.show_data import data_lines
from twofold.problem.data import prepare
from twofold.spec.experiment import Experiment


def said(folder: Path, text: str, loss: str = "cross_entropy", **values: object) -> str:
    path = folder / "table.csv"
    path.write_text(text)
    options = {"data__target": "y", **values}
    problem = prepare(Experiment().with_values(data__source=str(path), loss__kind=loss, **options))
    lines = data_lines(problem)
    assert all(len(line) <= 76 for line in lines)
    return " ".join(lines)


def test_columns_target_classes_and_the_score_without_inputs(tmp_path: Path) -> None:
    """8 of 10 rows are blue; without test rows the counts are those of the table."""
    rows = "".join(f"{i},{i % 3},{'red' if i in (2, 7) else 'blue'}\n" for i in range(10))
    words = said(tmp_path, f"a,b,y\n{rows}", data__test_fraction=0.0)
    assert "input columns (2): a, b target: y classes (2): " in words
    assert "blue in 8 training and 0 test rows; red 2 and 0" in words
    assert "no test rows, so no score" in words
    many = "".join(f"{i % 7},{i % 3},{'red' if i % 10 == 2 else 'blue'}\n" for i in range(200))
    words = said(tmp_path, f"a,b,y\n{many}", data__test_fraction=0.5)
    reds = int(words.split("; red ")[1].split(" and ")[1].split()[0])
    assert f"blue in {100 - 20 + reds} training and {100 - reds} test rows" in words
    assert f"score without inputs: test accuracy {1 - reds / 100:.4f}" in words


def test_what_was_dropped_filled_and_encoded(tmp_path: Path) -> None:
    text = "a,c,y\n1,u,1\n,v,2\n4,,3\n7,u,4\n"
    options = {"data__categorical": "one_hot", "data__test_fraction": 0.0}
    words = said(tmp_path, text, "mse", data__missing="mean", **options)
    assert (
        "filled in: 1 empty cell of 'a' with 4 filled in: 1 empty cell of 'c' with no cat" in words
    )
    assert "one-hot: c, 2 texts of the training rows" in words
    assert f"target: y (mean 2.5, standard deviation {np.std([1, 2, 3, 4]):.6g} in " in words
    words = said(tmp_path, text, "mse", data__missing="drop", **options)
    assert "dropped: 2 rows with an empty cell" in words


def test_texts_of_test_rows_alone_are_said(tmp_path: Path) -> None:
    rows = "".join(f"w{i},{i}\n" for i in range(10))
    options = {"data__categorical": "one_hot", "data__test_fraction": 0.1}
    words = said(tmp_path, f"c,y\n{rows}", "mse", **options)
    assert "one-hot: c, 9 texts of the training rows" in words
    assert "not in training, so all zero: 'w" in words
    assert "' in 1 test row" in words
    assert "no score: R^2 has no value on 1 test row; allowed are 2 or more" in words


def test_a_column_that_tells_the_label_is_pointed_out(tmp_path: Path) -> None:
    rows = "".join(f"{100 + i},{i % 3},{i // 20}\n" for i in range(40))
    words = said(tmp_path, f"id,a,y\n{rows}")
    assert "look at 'id': alone it tells the target of every row; leave it out with" in words
    assert "look at 'a'" not in words


def test_many_columns_are_cut(tmp_path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(30))
    row = ",".join("12345678901"[i % 11] for i in range(30))
    words = said(tmp_path, f"{names},y\n{row},0\n{row},1\n", data__test_fraction=0.0)
    assert "input columns (30): c0, c1," in words
    assert "c23, and 6 more" in words


def test_a_memory_map_is_said_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = "".join(f"{i},{i % 7},{i * i}\n" for i in range(10))
    words = said(tmp_path, f"a,b,y\n{rows}", "mse", data__memory_map=True)
    (folder,) = (tmp_path / "cache" / "twofold" / "tables").iterdir()
    assert f"in a memory map: {10 * 3 * 4} bytes of rows in" in words
    assert words.replace(" ", "").endswith(str(folder))
    assert "memory map" not in said(tmp_path, f"a,b,y\n{rows}", "mse")
