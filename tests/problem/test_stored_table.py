"""A table written for other processes: it comes back as it was, and nobody reads the source."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from twofold.problem import sources
from twofold.problem.data import prepare
from twofold.problem.stored_table import read_table, write_table
from twofold.problem.table import Table
from twofold.spec.experiment import Experiment
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Certification

TEXT = "size;colour;kind\n1,5;red;cat\n;blue;dog\n3,25;red;cat\n2;blue;dog\n1;red;cat\n"


def own_table(folder: Path) -> Experiment:
    path = folder / "mine.csv"
    path.write_text(TEXT, encoding="utf-8")
    options = {"separator": ";", "decimal": ",", "missing": "mean", "categorical": "one_hot"}
    data = {"source": str(path), "target": "kind", "batch_size": 2, **options}
    return Experiment().with_values(
        loss__kind="bce_with_logits",
        data__test_fraction=0.0,
        **{f"data__{name}": value for name, value in data.items()},
    )


@pytest.mark.parametrize("source", ["mine.csv", "digits", "breast-cancer", "diabetes"])
def test_a_stored_table_comes_back_as_it_was(source: str, tmp_path: Path) -> None:
    own = source == "mine.csv"
    experiment = own_table(tmp_path) if own else Experiment().with_values(data__source=source)
    table = sources.load(experiment)
    write_table(table, tmp_path / "table.npz")
    again = read_table(tmp_path / "table.npz")
    for field in fields(Table):
        before, after = getattr(table, field.name), getattr(again, field.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
        else:
            assert before == after
    assert sources.read_by_library(experiment.data)


def test_a_process_with_a_stored_table_never_reads_the_source(tmp_path: Path) -> None:
    experiment = own_table(tmp_path)
    stored = tmp_path / "table.npz"
    write_table(sources.load(experiment), stored)
    Path(experiment.data.source).unlink()
    process = ProcessWorker("torch:eager", experiment.model_dump_json(), [0], table=stored)
    try:
        assert process.open().rows_per_step == 2
        assert process.first_step().steps == 1
        assert process.certify(Certification(("float32",), steps=1, ladder="one step")).rungs
    finally:
        process.close()


def test_a_given_table_stands_for_the_source(tmp_path: Path) -> None:
    experiment = own_table(tmp_path)
    table = sources.load(experiment)
    expected = prepare(experiment)
    Path(experiment.data.source).unlink()
    found = prepare(experiment, table)
    np.testing.assert_array_equal(found.train.inputs, expected.train.inputs)
    assert found.description.classes == ("cat", "dog")


def test_the_synthetic_task_is_made_anew_in_each_process() -> None:
    assert not sources.read_by_library(Experiment().data)
