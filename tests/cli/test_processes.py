"""Commands that run in several processes, as a person starts them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from comparisons.evidence.processes.kills import kill_and_go_on
from twofold.cli.app import app
from twofold.errors import BadInput
from twofold.problem import checkpoint

LIMIT_S = 280
SHORT = ("--set", "training.epochs=3", "--set", "data.batch_size=31")
TWOFOLD = (sys.executable, "-m", "twofold")


def finished(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--engine", "torch:eager", "--processes", "2"], "torch:eager given for several proc"),
        (["--engine", "torch:ddp", "--processes", "0"], "--processes: 0 given; allowed is 1 to 64"),
        (["--engine", "torch:ddp", "--process", "1"], "give all three in every process"),
        (["--engine", "torch:ddp", "--coordinator", "here:1", "--process", "0"], "give all three"),
        (
            ["--coordinator", "here", "--process", "0", "--processes", "2"],
            "--coordinator: 'here' given; allowed is HOST:PORT",
        ),
    ],
)
@pytest.mark.parametrize("command", ["train", "parity"])
def test_options_that_do_not_fit_are_refused_before_anything_starts(
    command: str, arguments: list[str], says: str
) -> None:
    named = [each.replace("--engine", "--engines") for each in arguments]
    given = arguments if command == "train" else named
    result = CliRunner().invoke(app, [command, "diabetes", *given])
    assert isinstance(result.exception, BadInput)
    assert says in str(result.exception)


@pytest.mark.slow
# PROCESSES.md kills trainings of flax:sharded as well.
@pytest.mark.parametrize("engine", ["torch:ddp", "flax:sharded-weights"])
def test_a_killed_process_is_named_and_the_training_goes_on_with_the_same_bits(engine: str) -> None:
    found = kill_and_go_on(engine, 3, 0)
    assert found["named"], found
    assert found["same_bits"], found
    assert found["seconds_to_end"] < 60


@pytest.mark.slow
def test_torchrun_trains_as_processes_that_are_started_here(tmp_path: Path) -> None:
    train = ["train", "diabetes", "--engine", "torch:ddp", *SHORT, "--output"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    by_torchrun, here = tmp_path / "torchrun", tmp_path / "here"
    said = finished([*torchrun, "2", "-m", "twofold", *train, str(by_torchrun)])
    assert said.count("model: ") == 1  # the first process alone speaks
    finished([*TWOFOLD, *train, str(here), "--processes", "2"])
    left, right = weights(by_torchrun), weights(here)
    assert list(left) == list(right)
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name])


@pytest.mark.slow
def test_processes_that_are_started_by_hand_meet(tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{found.getsockname()[1]}"
    command = [*TWOFOLD, "train", "diabetes", "--engine", "flax:sharded", *SHORT]
    command += ["--output", str(tmp_path / "run"), "--coordinator", place, "--processes", "2"]
    command += ["--process"]
    other = subprocess.Popen(
        [*command, "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert "model: " in finished([*command, "0"])
        assert other.communicate(timeout=LIMIT_S)[0] == ""
        assert other.returncode == 0
    finally:
        other.kill()
    alone = tmp_path / "alone"
    finished(
        [*TWOFOLD, "train", "diabetes", "--engine", "flax:jit", *SHORT, "--output", str(alone)]
    )
    one, two = weights(alone), weights(tmp_path / "run")
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_another_number_of_processes_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Two processes stop after a step's checkpoint; three go on, near what two would have got."""
    train = [*TWOFOLD, "train", "diabetes", "--engine", "torch:ddp", *SHORT]
    train += ["--checkpoint-steps", "5", "--output"]
    two, three = tmp_path / "two", tmp_path / "three"
    finished([*train, str(two), "--processes", "2"])
    finished([*train, str(three), "--processes", "2"])
    newest = sorted((three / "checkpoints").iterdir())
    for late in newest[1:]:
        late.unlink()
    os.remove(three / "model.safetensors")
    assert checkpoint.load(newest[0]).step % 5 == 0
    finished([*train, str(three), "--processes", "3", "--resume"])
    left, right = weights(two), weights(three)
    for name, array in left.items():
        np.testing.assert_allclose(right[name], array, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_another_number_of_processes_goes_on_from_parts_and_is_told(tmp_path: Path) -> None:
    train = [*TWOFOLD, "train", "diabetes", "--engine", "flax:sharded-weights", *SHORT]
    train += ["--set", "model.hidden=[8]", "--checkpoint-steps", "5", "--output"]
    two, one = tmp_path / "two", tmp_path / "one"
    finished([*train, str(two), "--processes", "2"])
    shutil.copytree(two, one)
    older, newest = sorted((one / "checkpoints").iterdir())
    assert (older.suffix, newest.suffix) == (".parts", ".parts")
    shutil.rmtree(newest)
    os.remove(one / "model.safetensors")
    command = [*train, str(one), "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    assert "number of processes: 2 when the run began, 1 now" in " ".join(done.stderr.split())
    assert f"going on from step {int(older.stem.removeprefix('step-'))}" in done.stderr
    left, right = weights(two), weights(one)
    for name, array in left.items():
        np.testing.assert_allclose(right[name], array, rtol=1e-3, atol=1e-5)
