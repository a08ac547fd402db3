"""A table in a memory map gives the problem that it gives in memory, bit for bit."""

from __future__ import annotations

import dataclasses
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import BadInput, DataError, SpecError
from twofold.problem import file_size, table, tables_in_pieces
from twofold.problem.data import prepare
from twofold.problem.description import Scaling
from twofold.problem.new_rows import NewTable
from twofold.problem.problem import Batch, Problem, batch_at
from twofold.problem.row_maps import is_mapped
from twofold.spec.experiment import Experiment


@pytest.fixture(autouse=True)
def small_pieces(tmp_path: Path) -> Iterator[None]:
    """Pieces of a few rows, so that small tables have several, and a cache of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        patch.setattr(table, "PIECE_VALUES", 20)
        patch.setattr(tables_in_pieces, "PIECE_VALUES", 20)
        patch.setattr(tables_in_pieces, "LEAST_ROWS", 3)
        yield


def outcome(experiment: Experiment) -> Problem | str:
    try:
        return prepare(experiment)
    except BadInput as error:
        return str(error)


def same_scaling(left: Scaling | None, right: Scaling | None) -> bool:
    if left is None or right is None:
        return left is right
    return all(
        getattr(left, name).tobytes() == getattr(right, name).tobytes()
        for name in ("mean", "scale", "constant")
    )


def require_same(mapped: Problem, memory: Problem) -> None:
    for name in ("train", "test", "validation"):
        left, right = getattr(mapped, name), getattr(memory, name)
        assert (left is None) == (right is None), name
        if isinstance(left, Batch) and isinstance(right, Batch):
            for what in ("inputs", "targets"):
                one, other = getattr(left, what), getattr(right, what)
                assert (one.dtype, one.shape) == (other.dtype, other.shape), (name, what)
                assert one.tobytes() == other.tobytes(), (name, what)
    for field in dataclasses.fields(memory.description):
        one, other = (getattr(each.description, field.name) for each in (mapped, memory))
        if field.name.endswith("scaling"):
            assert same_scaling(one, other), field.name
        else:
            assert one == other, field.name
    assert mapped.experiment.model == memory.experiment.model
    for step in range(min(3, memory.total_steps)):
        assert batch_at(mapped, step).inputs.tobytes() == batch_at(memory, step).inputs.tobytes()


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))
CELLS = {
    "numbers": NUMBERS,
    "whole": st.integers(-50, 50),
    "large": st.integers(-(2**62), 2**62),
    "huge": st.floats(1e300, 1.7e308),
    "texts": st.sampled_from(["red", "green", "NA", "x y", "1"]),
    "truth": st.booleans(),
    "alike": st.just(2.5),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[pandas.DataFrame, dict[str, Any]]:
    rows = draw(st.integers(6, 60))
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=5))
    empty = draw(st.sampled_from([0.0, 0.0, 0.2]))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns: dict[str, Any] = {}
    for place, kind in enumerate(kinds):
        cells = draw(st.lists(CELLS[kind], min_size=rows, max_size=rows))
        gone = chance.random(rows) < empty
        columns[f"c{place}"] = [None if out else x for x, out in zip(cells, gone, strict=True)]
    loss = draw(st.sampled_from(["mse", "cross_entropy", "bce_with_logits"]))
    columns["y"] = _targets(draw, loss, rows)
    options = {
        "loss__kind": loss,
        "data__target": "y",
        "data__missing": draw(st.sampled_from(["refuse", "drop", "mean", "median"])),
        "data__categorical": draw(st.sampled_from(["refuse", "one_hot", "embedding"])),
        "data__standardize": draw(st.booleans()),
        "data__shuffle": draw(st.booleans()),
        "data__batch_size": draw(st.integers(1, 9)),
        "data__test_fraction": draw(st.sampled_from([0.0, 0.3])),
        "data__validation_fraction": draw(st.sampled_from([0.0, 0.2])),
        "precision": draw(st.sampled_from(["float32", "float64"])),
        "seed": draw(st.integers(0, 5)),
    }
    return pandas.DataFrame(columns), options


def _targets(draw: st.DrawFn, loss: str, rows: int) -> list[Any]:
    if loss == "mse":
        cells: st.SearchStrategy[Any] = NUMBERS
    elif loss == "bce_with_logits":
        cells = draw(st.sampled_from([st.integers(0, 1), st.sampled_from(["no", "yes"])]))
    else:
        cells = draw(
            st.sampled_from(
                [
                    st.integers(0, 2),
                    st.sampled_from(["NA", "b", "ä", "10"]),
                    st.sampled_from([7, 9, -2]),
                    st.booleans(),
                    st.sampled_from([None, "p", "q"]),
                ]
            )
        )
    return draw(st.lists(cells, min_size=rows, max_size=rows))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(tables())
def test_a_map_gives_the_same_problem_as_memory(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    drawn: tuple[pandas.DataFrame, dict[str, Any]],
) -> None:
    frame, options = drawn
    path = tmp_path_factory.mktemp("tables") / f"t.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=7)
    if options["data__categorical"] == "embedding":
        options |= {"model__embedding_features": 2}
    experiment = Experiment().with_values(data__source=str(path), **options)
    memory = outcome(experiment)
    mapped = outcome(experiment.with_values(data__memory_map=True))
    if isinstance(memory, str) or isinstance(mapped, str):
        assert mapped == memory
        return
    assert is_mapped(mapped.train.inputs)
    require_same(mapped, memory)
    again = prepare(experiment.with_values(data__memory_map=True))
    require_same(again, memory)


@pytest.fixture
def numbered(tmp_path: Path) -> Experiment:
    chance = np.random.default_rng(0)
    frame = pandas.DataFrame(chance.normal(size=(50, 3)), columns=["a", "b", "c"])
    frame["y"] = frame.a > 0
    path = tmp_path / "t.parquet"
    frame.to_parquet(path, row_group_size=8)
    values = {"data__source": str(path), "data__target": "y", "data__memory_map": True}
    return Experiment().with_values(**values)


def folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "twofold" / "tables").glob("*"))


def test_a_table_is_read_once_for_options_that_change_no_row(
    numbered: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(numbered)
    (folder,) = folders(tmp_path)
    monkeypatch.setattr(tables_in_pieces.TableInPieces, "written", None)  # would fail
    others = {"data__batch_size": 7, "data__shuffle": False, "training__epochs": 3}
    again = prepare(numbered.with_values(name="other", **others))
    np.testing.assert_array_equal(again.train.inputs, first.train.inputs)
    assert folders(tmp_path) == [folder]
    with pytest.raises(TypeError):
        prepare(numbered.with_values(seed=1))
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    changed = pandas.read_parquet(numbered.data.source)
    changed.loc[3, "b"] = 7.0
    changed.to_parquet(numbered.data.source)
    assert prepare(numbered).train.inputs.tobytes() != first.train.inputs.tobytes()


def test_what_is_half_written_is_never_read(
    numbered: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("twofold.problem.row_store.write_about", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(numbered)
    assert folders(tmp_path) == []
    assert prepare(numbered).train.rows == 40


def test_rows_that_are_damaged_are_told(numbered: Experiment, tmp_path: Path) -> None:
    del numbered
    experiment = Experiment().with_values(
        data__source=str(tmp_path / "t.parquet"), data__target="y", data__memory_map=True
    )
    prepare(experiment)
    (folder,) = folders(tmp_path)
    rows = folder / "train_inputs.npy"
    rows.write_bytes(rows.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"damaged .*; remove that folder"):
        prepare(experiment)


def test_a_full_disk_and_a_folder_that_is_none_have_their_sentence(
    numbered: Experiment, tmp_path: Path
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limit[1]))
    try:
        with pytest.raises(DataError, match=r"data.memory_map: .* cannot be written: .*make room"):
            prepare(numbered)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert folders(tmp_path) == []
    cache = tmp_path / "cache" / "twofold" / "tables"
    cache.rmdir()
    cache.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"data.memory_map: .* cannot be written"):
        prepare(numbered)


PREPARE = """
import sys
from twofold import Experiment, prepare
found = prepare(Experiment.from_toml(sys.stdin.read()))
print(found.train.inputs.tobytes().hex()[-64:])
"""


def test_two_processes_at_once_take_the_same_rows(numbered: Experiment, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(numbered.to_toml())
        process.stdin.close()
    said = set()
    for process in processes:
        assert process.stdout is not None
        with process.stdout as stream:
            said.add(stream.read())
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(said) == 1
    assert len(folders(tmp_path)) == 1


def test_a_map_is_for_tables_alone() -> None:
    with pytest.raises(SpecError, match=r"data.memory_map: True given with data.source = 'digits'"):
        prepare(Experiment.load("digits").with_values(data__memory_map=True))


def test_a_table_above_the_limit_of_memory_names_the_map(
    numbered: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_size, "MOST_VALUES", 100)
    with pytest.raises(DataError, match=r"or data\.memory_map = true"):
        prepare(numbered.with_values(data__memory_map=False))
    assert prepare(numbered).train.rows == 40


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_new_rows_in_pieces_are_those_at_once(kind: str, tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    rows = 40
    frame = pandas.DataFrame(
        {
            "a": chance.normal(size=rows),
            "colour": chance.choice(["red", "NA", "1", "blue"], rows),
            "b": np.where(chance.random(rows) < 0.2, np.nan, chance.integers(0, 9, rows)),
            "y": chance.choice(["no", "yes", "NA"], rows),
        }
    )
    path = tmp_path / f"t.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, row_group_size=9)
    values = {"data__source": str(path), "data__target": "y", "data__missing": "mean"}
    experiment = Experiment().with_values(data__categorical="one_hot", **values)
    problem = prepare(experiment)
    frame.loc[[5, 30], "colour"] = ["grey", "grey"]
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, row_group_size=9)
    once = NewTable(path, problem.experiment, problem.description)
    spec = problem.experiment.with_values(data__memory_map=True)
    pieces = NewTable(path, spec, problem.description)
    found = list(pieces.in_pieces())
    assert len(found) > 2
    whole, unseen = once.inputs()
    assert np.concatenate([inputs for inputs, _ in found]).tobytes() == whole.tobytes()
    joined = None
    for _, others in found:
        for each in others:
            joined = each.joined(joined)
    assert (joined,) == unseen
    np.testing.assert_array_equal(pieces.targets(), once.targets())
    frame.loc[33, "y"] = "perhaps"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, row_group_size=9)
    with pytest.raises(DataError, match="target, row 33"):
        pieces.targets()


@pytest.mark.parametrize("text", ["a,b,y\n1,2,0\n3,4,5,1\n", "a,b,y\n1,2,0,1\n3,4,5,1\n"])
def test_rows_of_another_length_are_refused_as_in_memory(text: str, tmp_path: Path) -> None:
    """Where pandas reads some columns alone, it does not count the fields of a row."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    said = []
    for mapped in (False, True):
        experiment = Experiment.load("lesson").with_values(
            data={"source": str(path), "target": "y", "batch_size": 1, "memory_map": mapped},
            loss__kind="mse",
        )
        with pytest.raises(DataError) as raised:
            prepare(experiment)
        said.append(str(raised.value))
    assert said[0] == said[1]
