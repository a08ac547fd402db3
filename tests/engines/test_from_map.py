"""Engines that are fed from a memory map: the same rows in the same order, and the same bits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from twofold.engines.registry import default_engine, find_engine, open_session, single_engines
from twofold.engines.training import train
from twofold.errors import SpecError
from twofold.problem import row_maps
from twofold.problem.data import prepare
from twofold.spec.experiment import Experiment

FED = tuple(name for name in single_engines() if find_engine(name)[1].from_map)


def experiment_of(folder: Path, rows: int = 203, columns: int = 5, **values: object) -> Experiment:
    path = folder / "table.parquet"
    if not path.is_file():
        chance = np.random.default_rng(3)
        inputs = chance.normal(size=(rows, columns)).astype(np.float32)
        frame = pandas.DataFrame(inputs, columns=[f"x{place}" for place in range(columns)])
        frame["y"] = np.where(inputs[:, 0] * inputs[:, 1] > 0, "same", "other")
        frame.to_parquet(path, row_group_size=64)
    return Experiment.load("digits").with_values(
        data__source=str(path),
        data__target="y",
        data__batch_size=16,
        training__epochs=2,
        **values,
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_there_are_engines_of_both_frameworks() -> None:
    assert {"torch:eager", "flax:jit"} <= set(FED)


SLOW = ("torch:compile", "flax:op-by-op", "flax:scan", "equinox:scan")


@pytest.mark.parametrize(
    "engine",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in FED],
)
def test_a_training_from_a_map_has_the_bits_of_one_in_memory(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_engine(engine)[0].missing_frameworks():
        pytest.skip("its framework is not installed")
    monkeypatch.setattr(row_maps, "BYTES_AT_ONCE", 3 * 16 * 5 * 4)  # three batches at a time
    found = []
    for mapped in (False, True):
        experiment = experiment_of(tmp_path, data__memory_map=mapped, model__dropout=0.25)
        problem = prepare(experiment.with_values(data__validation_fraction=0.2))
        assert problem.is_mapped == mapped
        session = open_session(problem, engine)
        result = train(session)
        session_batch = session.batch(problem.steps_per_epoch - 1)
        found.append((result, session.state(), session_batch))
    (memory, state, batch), (result, own, own_batch) = found
    assert [epoch.loss for epoch in result.epochs] == [epoch.loss for epoch in memory.epochs]
    assert result.score == memory.score
    assert result.validation == memory.validation
    for name, array in state.parameters.items():
        assert array.tobytes() == own.parameters[name].tobytes()
    assert batch.inputs.tobytes() == own_batch.inputs.tobytes()
    np.testing.assert_array_equal(batch.targets, own_batch.targets)


def test_an_engine_that_needs_all_rows_in_one_place_names_those_that_do_not(tmp_path: Path) -> None:
    problem = prepare(experiment_of(tmp_path, data__memory_map=True))
    with pytest.raises(SpecError, match=r"torch:compile-step needs all .* allowed are torch:eager"):
        open_session(problem, "torch:compile-step")
    assert default_engine(problem, 10**9).engine == "torch:eager"


CHILD = """
import sys
from pathlib import Path

from twofold import Experiment, open_session, prepare
from twofold.engines.training import train
from twofold.timing.memory import forget_peak, peak_memory_bytes

source, engine, mapped = sys.argv[1], sys.argv[2], sys.argv[3] == "mapped"
experiment = Experiment.load("digits").with_values(
    data__target="y", data__batch_size=256, training__epochs=1, model__hidden=[8]
)
small = experiment.with_values(data__source=str(Path(source).parent / "small.parquet"))
train(open_session(prepare(small), engine))  # loads all libraries
forget_peak()
before = peak_memory_bytes()
values = {"data__source": source, "data__memory_map": mapped, "data__most_values": 10**9}
result = train(open_session(prepare(experiment.with_values(**values)), engine))
print((peak_memory_bytes() - before) / 2**20, result.epochs[0].loss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forget_peak needs Linux")
@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
def test_a_training_from_a_map_never_holds_the_table(engine: str, tmp_path: Path) -> None:
    rows, columns = 40_000, 200  # 32 MB of float32, 64 MB of float64 as read
    chance = np.random.default_rng(0)
    inputs = chance.normal(size=(rows, columns)).astype(np.float32)
    frame = pandas.DataFrame(inputs, columns=[f"x{place}" for place in range(columns)])
    frame["y"] = (inputs[:, 0] > 0).astype(np.int64)
    frame.to_parquet(tmp_path / "large.parquet", row_group_size=4096)
    frame.iloc[:1024].to_parquet(tmp_path / "small.parquet")
    used = {}
    for how in ("mapped", "memory") if engine == "torch:eager" else ("mapped",):
        command = [sys.executable, "-c", CHILD, str(tmp_path / "large.parquet"), engine, how]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        used[how], loss = map(float, done.stdout.split())
        assert np.isfinite(loss)
    assert used["mapped"] < 110  # some 60, whatever the table: pieces, and a few batches
    assert used.get("memory", 340.0) > 220  # 32 MB as stored, 64 MB as read, and what is made of it
