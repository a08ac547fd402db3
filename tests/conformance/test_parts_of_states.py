"""Checkpoints in parts: written in one world, read in others, with the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from twofold.engines.launch import launch

PROGRAM = str(Path(__file__).parent / "parts_in_a_world.py")
pytestmark = pytest.mark.slow


def in_a_world(mode: str, engine: str, precision: str, folder: Path, processes: int) -> None:
    given = [mode, engine, precision, str(folder)]
    assert launch(given, processes, [sys.executable, PROGRAM]) == 0


@pytest.mark.parametrize(
    ("engine", "precision", "written", "read"),
    [
        ("flax:sharded-weights", "float32", 2, (1, 2, 4)),
        ("flax:sharded-weights", "float64", 1, (2,)),
        ("flax:sharded-weights", "float32", 4, (1,)),
        ("flax:sharded", "float32", 2, (1, 3)),
        ("torch:ddp", "float32", 2, (1, 3)),
        ("torch:ddp", "float64", 1, (2,)),
    ],
)
def test_what_one_world_wrote_others_read(
    tmp_path: Path, engine: str, precision: str, written: int, read: tuple[int, ...]
) -> None:
    in_a_world("write", engine, precision, tmp_path, written)
    for processes in read:
        in_a_world("read", engine, precision, tmp_path, processes)


def test_each_process_of_ddp_writes_arrays_of_its_own(tmp_path: Path) -> None:
    in_a_world("write", "torch:ddp", "float32", tmp_path, 2)
    (folder,) = (tmp_path / "checkpoints").glob("*.parts")
    sizes, names = [], []
    for path in sorted((folder / "state").iterdir()):
        assert path.suffix == ".safetensors"
        with safe_open(path, framework="numpy") as stored:
            names += list(stored.keys())
            sizes.append(sum(stored.get_tensor(name).nbytes for name in stored.keys()))  # noqa: SIM118
    with safe_open(tmp_path / "told-state.safetensors", framework="numpy") as told:
        assert sorted(names) == sorted(told.keys())
    assert len(sizes) == 2
    assert min(sizes) > sum(sizes) / 4


@pytest.mark.parametrize("engine", ["flax:sharded-weights", "torch:ddp"])
def test_a_clock_that_is_late_in_one_process_hangs_nobody(tmp_path: Path, engine: str) -> None:
    in_a_world("late", engine, "float32", tmp_path, 2)
    assert json.loads((tmp_path / "result.json").read_text())["outcome"] == "finished"
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2  # each epoch's end


NOTHING_GATHERED = """
import sys
from pathlib import Path
import jax
jax.config.update("jax_num_cpu_devices", 4)
from tests.conformance.parts_in_a_world import checkpoints, opened
from twofold_jax import sharded

def gathered(*_):
    raise AssertionError("the whole state was asked for")

folder = Path(sys.argv[1])
session = opened("flax:sharded-weights", "float32")
session.run(3)
kept = checkpoints(session, folder, folder)
before = sharded.Sharded.release
sharded.Sharded.release = gathered
best = session.keep()
session.run(2)
session.executor_type.state = gathered
kept.save(best)
step, best, wrong = kept.restore(1, lambda _: None)
session.run(1)
assert (step, best.step, wrong) == (5, 3, ()), (step, wrong)
shapes = {leaf.addressable_data(0).shape for leaf in jax.tree.leaves(best.state.params)}
assert (10, 2) in shapes and (10, 8) not in shapes, shapes
"""


def test_a_state_in_parts_is_written_and_read_without_being_gathered(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NOTHING_GATHERED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
