"""A table in a memory map gives the problem that it gives in memory, bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import BadInput
from twofold.problem import table, tables_in_pieces
from twofold.problem.data import prepare
from twofold.problem.description import Scaling
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
@settings(max_examples=60, deadline=None)
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
