"""Runs whose checkpoints lie in parts: the same bits after a stop, and no damage unseen.

Here in a world of one process; `tests/conformance/test_parts_of_states.py` has worlds of several.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from twofold.engines.registry import open_session
from twofold.engines.session import Session
from twofold.errors import DataError, ResultError, SpecError
from twofold.problem import checkpoint
from twofold.problem.data import prepare
from twofold.problem.problem import Problem, initial_state
from twofold.runs import parts
from twofold.runs.metrics import Line
from twofold.runs.run import Events, run
from twofold.spec.experiment import Experiment

EVERY = 4


class Stopped(Exception):
    """Stands for whatever ends a process."""


def problem(width: int = 8) -> Problem:
    """Three epochs of 5 steps, with validation rows; the second epoch is seldom the best."""
    return prepare(
        Experiment.load("lesson").with_values(
            data__rows=70,
            data__batch_size=8,
            data__test_fraction=0.2,
            data__validation_fraction=0.3,
            model__hidden=[width, width],
            model__dropout=0.3,
            training__epochs=3,
            optimizer__schedule={"kind": "linear", "transition_steps": 18},
        )
    )


@pytest.fixture(scope="module")
def opened() -> Session:
    return open_session(problem(), "torch:ddp")


def fresh(session: Session) -> Session:
    session.load_state(initial_state(session.problem))
    return session


def stopped(session: Session, folder: Path, step: int = 12, *, in_parts: bool = True) -> Path:
    def on_line(line: Line) -> None:
        if line.step > step:
            raise Stopped

    with pytest.raises(Stopped):
        run(
            fresh(session),
            folder,
            every_steps=EVERY,
            in_parts=in_parts,
            events=Events(on_line),
        )
    return folder


def resumed(session: Session, folder: Path, *, in_parts: bool | None = True) -> list[str]:
    notes: list[str] = []
    events = Events(on_note=notes.append)
    run(
        fresh(session),
        folder,
        resume=True,
        every_steps=EVERY,
        in_parts=in_parts,
        events=events,
    )
    return notes


def bits(folder: Path) -> dict[str, bytes]:
    state = checkpoint.load(folder / "model.safetensors")
    return {name: array.tobytes() for name, array in state.tensors.items()}


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in (folder / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def whole(opened: Session, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What comes out of a run without a stop, with checkpoints of one file each."""
    folder = tmp_path_factory.mktemp("whole")
    run(fresh(opened), folder, every_steps=EVERY)
    assert names(folder)[-1].endswith(".safetensors")
    return bits(folder)


def test_a_run_goes_on_from_parts_with_the_same_bits(
    opened: Session, whole: dict[str, bytes], tmp_path: Path
) -> None:
    folder = stopped(opened, tmp_path)
    assert names(folder) == ["step-00000008.parts", "step-00000012.parts"]
    assert resumed(opened, folder) == ["going on from step 12"]
    assert bits(folder) == whole


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["flax:sharded-weights", "flax:sharded"])
def test_so_do_the_engines_of_flax(engine: str, tmp_path: Path) -> None:
    session = open_session(problem(), engine)
    run(fresh(session), tmp_path / "whole", every_steps=EVERY)
    scattered = engine == "flax:sharded-weights"
    assert names(tmp_path / "whole")[-1].endswith(".parts" if scattered else ".safetensors")
    folder = stopped(session, tmp_path / "stopped")
    assert resumed(session, folder) == ["going on from step 12"]
    assert bits(folder) == bits(tmp_path / "whole")
    folder = stopped(session, tmp_path / "one file", in_parts=False)
    assert names(folder)[-1].endswith(".safetensors")
    assert resumed(session, folder) == ["going on from step 12"]
    assert bits(folder) == bits(tmp_path / "whole")


@pytest.mark.parametrize("first", [True, False])
def test_the_kind_may_change_when_a_run_goes_on(
    opened: Session, whole: dict[str, bytes], tmp_path: Path, first: bool
) -> None:
    folder = stopped(opened, tmp_path, 8, in_parts=first)
    assert resumed(opened, folder, in_parts=not first) == ["going on from step 8"]
    assert bits(folder) == whole
    kinds = {name.rpartition(".")[2] for name in names(folder)}
    assert kinds == {"safetensors" if first else "parts"}  # the older kind went with its steps


def flipped(folder: Path) -> None:
    path = max((folder / "state").iterdir(), key=lambda each: each.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def cut_short(folder: Path) -> None:
    path = next((folder / "best").iterdir())
    os.truncate(path, path.stat().st_size - 1)


def without_a_file(folder: Path) -> None:
    next((folder / "state").iterdir()).unlink()


def with_another_file(folder: Path) -> None:
    (folder / "state" / "shard-00009-model-00001-of-00001.safetensors").write_bytes(b"")


def with_a_link(folder: Path) -> None:
    path = next((folder / "state").iterdir())
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def without_its_seal(folder: Path) -> None:
    (folder / parts.SEAL).unlink()


def with_another_form(folder: Path) -> None:
    seal = folder / parts.SEAL
    seal.write_text(seal.read_text().replace("torch.distributed", "torch.pickled"))


def with_the_seal_of_another_step(folder: Path) -> None:
    other = parts.path_of(folder.parent, 8)
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (flipped, "its digest is not that of its bytes"),
        (cut_short, "its digest is not that of its bytes"),
        (without_a_file, "is not there"),
        (with_another_file, "not among those that were written"),
        (with_a_link, "neither a file nor a folder"),
        (without_its_seal, "parts.json: cannot be read"),
        (with_another_form, "its digest is not that of its fields"),
        (with_the_seal_of_another_step, "its step is 8"),
    ],
)
def test_damaged_parts_are_passed_over_for_those_before(
    opened: Session,
    whole: dict[str, bytes],
    tmp_path: Path,
    damage: Callable[[Path], None],
    says: str,
) -> None:
    folder = stopped(opened, tmp_path)
    damage(parts.path_of(folder / "checkpoints", 12))
    passed_over, going_on = resumed(opened, folder)
    assert passed_over.startswith("passed over: ")
    assert says in passed_over
    assert going_on == "going on from step 8"
    assert bits(folder) == whole


def test_what_an_ended_process_left_under_way_is_removed(
    opened: Session, whole: dict[str, bytes], tmp_path: Path
) -> None:
    folder = stopped(opened, tmp_path)
    complete = parts.path_of(folder / "checkpoints", 12)
    complete.rename(parts.under_way(folder / "checkpoints", 12))
    assert resumed(opened, folder) == ["going on from step 8"]
    assert bits(folder) == whole
    assert all(name.startswith("step-") for name in names(folder))


def test_a_best_epoch_that_is_missing_is_noticed(opened: Session, tmp_path: Path) -> None:
    folder = stopped(opened, tmp_path)
    path = parts.path_of(folder / "checkpoints", 12)
    shutil.rmtree(path / parts.BEST)
    path.rename(parts.under_way(folder / "checkpoints", 12))
    parts.seal(folder / "checkpoints", 12, None, "torch.distributed.checkpoint/safetensors")
    passed_over, _ = resumed(opened, folder)
    assert "the state of the best epoch is not in it" in passed_over


def test_parts_of_another_library_are_not_read(opened: Session, tmp_path: Path) -> None:
    folder = stopped(opened, tmp_path)
    path = parts.path_of(folder / "checkpoints", 12)
    path.rename(parts.under_way(folder / "checkpoints", 12))
    parts.seal(folder / "checkpoints", 12, 5, "orbax")
    passed_over, _ = resumed(opened, folder)
    assert "in the form orbax, which torch:ddp does not read" in passed_over


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("torch:ddp", "parameters: names"),
        pytest.param(
            "flax:sharded-weights",
            r"cannot be read: .*layers\..*: float32 \(.*\) there; allowed is (nothing|float32 \()",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_parts_of_another_problem_are_refused_in_a_sentence(
    engine: str, says: str, tmp_path: Path
) -> None:
    folder = stopped(open_session(problem(), engine), tmp_path)
    other = open_session(prepare(Experiment.load("lesson").with_values(model__hidden=[9])), engine)
    able = other.parts()
    assert able is not None
    state = parts.path_of(folder / "checkpoints", 12) / parts.STATE
    with pytest.raises(DataError, match=says):
        other.go_back(able.read(state, 12))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_named(opened: Session, tmp_path: Path) -> None:
    folder = stopped(opened, tmp_path)
    (folder / "checkpoints").chmod(0o500)
    try:
        with pytest.raises(ResultError, match="cannot be written: Permission denied"):
            resumed(opened, folder)
    finally:
        (folder / "checkpoints").chmod(0o700)


def test_a_file_in_the_place_of_the_folder_is_named(opened: Session, tmp_path: Path) -> None:
    folder = stopped(opened, tmp_path)
    parts.under_way(folder / "checkpoints", 15).write_text("in the way")
    with pytest.raises(ResultError, match=r"00015\.parts: cannot be written"):
        resumed(opened, folder)
    assert parts.checked(parts.path_of(folder / "checkpoints", 12), 12).step == 12


FULL = """
import os, resource, sys
from pathlib import Path
from tests.runs.test_checkpoints_in_parts import problem
from twofold.engines.registry import open_session
from twofold.errors import ResultError
from twofold.problem.problem import initial_state
from twofold.runs import parts
from twofold.runs.run import run

folder = Path(sys.argv[2])
session = open_session(problem(64), sys.argv[1])
run(session, folder / "whole", in_parts=True, every_steps=4)  # compiles, and loads what writes
session.load_state(initial_state(session.problem))
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
try:
    run(session, folder / "full", in_parts=True, every_steps=4)
except ResultError as error:
    print(error)
assert not os.listdir(folder / "full" / "checkpoints")
assert parts.checked(parts.path_of(folder / "whole" / "checkpoints", 15), 15).step == 15
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch:ddp", "flax:sharded-weights"])
def test_a_full_disk_is_told_in_a_sentence(engine: str, tmp_path: Path) -> None:
    """The system lets a file grow to 6,000 bytes, and refuses what is more."""
    command = [sys.executable, "-c", FULL, engine, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert "step-00000004.parts/state: cannot be written: " in line
    assert "File too large" in line
    assert len(line) < 400
    # Writes of TensorStore that end after Orbax has given up may print tracebacks of their own.
    assert not re.search(r'File ".*/(src/twofold|backends/twofold_\w+)/', done.stderr)
    assert "ResultError" not in done.stderr


def test_an_engine_of_one_process_writes_no_parts(tmp_path: Path) -> None:
    session = open_session(problem(), "torch:eager")
    with pytest.raises(SpecError, match="--checkpoint-parts: given with torch:eager"):
        run(session, tmp_path, in_parts=True)
    assert not list(tmp_path.iterdir())


def test_the_number_of_processes_is_told(opened: Session, tmp_path: Path) -> None:
    folder = stopped(opened, tmp_path)
    header = json.loads((folder / "run.json").read_text())
    assert header["processes"] == 1
    (folder / "run.json").write_text(json.dumps({**header, "processes": 3}))
    first, *_ = resumed(opened, folder)
    assert first.startswith("number of processes: 3 when the run began, 1 now; sums are taken")
    del header["processes"]  # as older versions wrote it
    (folder / "run.json").write_text(json.dumps(header))
    (folder / "model.safetensors").unlink()
    assert resumed(opened, folder) == ["going on from step 15"]


@pytest.mark.parametrize("in_parts", [True, False])
def test_damaged_checkpoints_push_no_whole_ones_out(
    opened: Session, tmp_path: Path, in_parts: bool
) -> None:
    """Both that are there are damaged, so the run begins anew; what it writes then has to stay."""
    folder = stopped(opened, tmp_path, in_parts=in_parts)
    for each in (folder / "checkpoints").iterdir():
        (each / parts.SEAL if each.is_dir() else each).write_bytes(b"no")

    def on_line(line: Line) -> None:
        if line.step > 8:
            raise Stopped

    with pytest.raises(Stopped):
        run(
            fresh(opened),
            folder,
            resume=True,
            every_steps=EVERY,
            in_parts=in_parts,
            events=Events(on_line),
        )
    left = {path.name.split(".")[0] for path in (folder / "checkpoints").glob("step-*")}
    assert "step-00000008" in left
