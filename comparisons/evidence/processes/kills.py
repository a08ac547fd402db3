"""A training of several processes, one of which is killed at a random moment, and which goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from safetensors.numpy import load_file

from twofold.errors import EngineFailed
from twofold.temporary import temporary_folder

EVERY: Final = 7
EPOCHS: Final = 60
BATCH: Final = 31  # does not divide by two, three or four; nor do the 13 rows of the last batch
LIMIT_S: Final = 300.0
END_S: Final = 60.0
"""How long a training may go on after one of its processes was killed."""
SEED: Final = 18


def kill_and_go_on(engine: str, size: int, number: int) -> dict[str, Any]:
    """Train without a stop, and with a kill and then on; compare what comes out, bit for bit."""
    random = np.random.default_rng([SEED, number])
    rank, step = int(random.integers(size)), int(random.integers(EVERY, 40 * EVERY))
    with temporary_folder() as within:
        command = _command(engine, size)
        _finished([*command, "--output", str(within / "whole")])
        killed = [*command, "--output", str(within / "killed")]
        seconds, said = _killed(killed, within / "killed" / "checkpoints", rank, step)
        left = sorted(each.name for each in (within / "killed" / "checkpoints").iterdir())
        _finished([*killed, "--resume"])
        same = _same_tensors(within / "whole", within / "killed")
    named = f"process {rank} of {size}" in said
    print(f"{engine}, process {rank} of {size} killed: ended in {seconds:.1f} s, same bits: {same}")
    return {
        "engine": engine,
        "processes": size,
        "killed": rank,
        "checkpoints_left": left,
        "seconds_to_end": seconds,
        "named": named,
        "said": said.strip().splitlines()[-1],
        "same_bits": same,
        "holds": named and same and seconds < END_S,
    }


def _command(engine: str, size: int) -> list[str]:
    changes = [f"training.epochs={EPOCHS}", f"data.batch_size={BATCH}", "model.dropout=0.1"]
    options = ["--engine", engine, "--processes", str(size), "--checkpoint-steps", str(EVERY)]
    for change in changes:
        options += ["--set", change]
    return [sys.executable, "-m", "twofold", "train", "diabetes", *options]


def _finished(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode != 0:
        raise EngineFailed(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr}")


def _killed(command: list[str], checkpoints: Path, rank: int, step: int) -> tuple[float, str]:
    """Seconds from the kill, after a checkpoint of a step, to the end; and what was said."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as started:
        try:
            _wait_for(checkpoints, step, started)
            workers = sorted(psutil.Process(started.pid).children(), key=lambda each: each.pid)
            workers[rank].kill()
            start = time.monotonic()
            _, said = started.communicate(timeout=LIMIT_S)
        finally:
            started.kill()
    return time.monotonic() - start, said.decode(errors="replace")


def _wait_for(checkpoints: Path, step: int, started: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end and started.poll() is None:
        names = [each.name for each in checkpoints.glob("step-*")]
        if names and max(names) >= f"step-{step:08d}":
            return
        time.sleep(0.01)
    raise EngineFailed("the training ended before a process was killed, or took too long")


def _same_tensors(one: Path, other: Path) -> bool:
    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    return list(left) == list(right) and all(np.array_equal(left[k], right[k]) for k in left)
