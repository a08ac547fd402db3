"""Kills and interrupts of the commands that go on where they were stopped."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import psutil
from pydantic import Field

from comparisons.evidence.attacks.tally import path_of
from twofold.commands import INTERRUPTED
from twofold.errors import DataError
from twofold.problem import checkpoint
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.results.stored import Count, Measurement, Name, Stored, Text, read_result
from twofold.temporary import temporary_folder

KILLS_SCHEMA: Final = "twofold.attacks-by-kills/1"
SIGNALS: Final = ("SIGKILL", "SIGTERM", "SIGINT")
MARK: Final = "TWOFOLD_ATTACKED"
FINISHING_S: Final = 600.0
ENDING_S: Final = 60.0
LEAVING_S: Final = 10.0
"""A worker sees that its parent is gone, and ends, within this time."""
ROOT: Final = Path(__file__).parents[3]


@dataclass(frozen=True)
class Resumable:
    """A command that goes on: its words, and how much of its work a folder holds."""

    name: str
    words: Callable[[Path], list[str]]
    done: Callable[[Path], int]
    whole: int
    longest_s: float


class StoredCommand(Stored):
    """What came of one command."""

    command: Name
    sent: Count
    held: Count
    broken: list[Text] = Field(default_factory=list)
    finished: bool = False
    left_behind: Count = 0


class StoredKills(Measurement):
    """`twofold.attacks-by-kills/1`."""

    seed: Count
    commands: list[StoredCommand]


@dataclass
class Killed:
    """What came of one command so far."""

    command: str
    sent: int = 0
    held: int = 0
    broken: list[str] = field(default_factory=list)
    finished: bool = False
    left_behind: int = 0

    @property
    def good(self) -> bool:
        """Whether every start held, it finished, and nothing was left."""
        return not self.broken and self.finished and not self.left_behind


def _sweep(folder: Path) -> list[str]:
    grid = ["--batch", "4,8,16,32,64", "--width", "4,8", "--depth", "1", "--unchecked"]
    more = ["--engines", "torch:eager", "--seconds", "0.1", "--threads", "1"]
    return ["-m", "twofold", "sweep", "lesson", *grid, *more, "--out", str(folder / "sweep.json")]


def _points(folder: Path) -> int:
    path = folder / "sweep.json"
    return len(json.loads(path.read_bytes())["points"]) if path.exists() else 0


def _search(folder: Path) -> list[str]:
    options = ["--seeds", "1:6", "--engines", "torch:eager", "--out", str(folder)]
    return ["-m", "comparisons.false_alarms", *options, "--whole", "1000"]


def _seeds(folder: Path) -> int:
    found = [json.loads(path.read_bytes())["experiments"] for path in folder.glob("*.json")]
    return sum(found)


def _train(engine: str) -> Callable[[Path], list[str]]:
    def words(folder: Path) -> list[str]:
        resume = ["--resume"] if (folder / "run" / "run.json").exists() else []
        options = ["--engine", engine, "--output", str(folder / "run"), *resume]
        return ["-m", "twofold", "train", "lesson", *options, "--checkpoint-steps", "50"]

    return words


def _steps(engine: str) -> Callable[[Path], int]:
    def done(folder: Path) -> int:
        """Steps of the newest checkpoint, when all can be read; 0 without one.

        Raises ValueError for one that cannot, and for a model with other bits than that of a run
        that was never stopped.
        """
        run = folder / "run"
        model = run / "model.safetensors"
        try:
            steps = [checkpoint.load(path).step for path in (run / "checkpoints").glob("*")]
            if model.exists() and tensors_in(model) != _never_stopped(engine):
                raise ValueError("the model has other bits than that of a run without a stop")
        except DataError as error:
            raise ValueError(str(error)) from error
        return max(steps, default=0)

    return done


@cache
def _never_stopped(engine: str) -> dict[str, bytes]:
    with temporary_folder() as folder:
        subprocess.run([sys.executable, *_train(engine)(folder)], cwd=ROOT, check=True)
        return tensors_in(folder / "run" / "model.safetensors")


def tensors_in(path: Path) -> dict[str, bytes]:
    """The bits of each tensor of a model or checkpoint. Raises DataError."""
    return {name: array.tobytes() for name, array in checkpoint.load(path).tensors.items()}


LESSON_STEPS: Final = 1570

COMMANDS: Final = (
    Resumable("twofold sweep", _sweep, _points, 10, 8.0),
    Resumable("comparisons.false_alarms", _search, _seeds, 5, 12.0),
    *(
        Resumable(
            f"twofold train --engine {engine}", _train(engine), _steps(engine), LESSON_STEPS, 10.0
        )
        for engine in ("torch:eager", "torch:eager-fused", "flax:jit", "flax:scan")
    ),
)


def kill(command: Resumable, seed: int, times: int) -> Killed:
    """Start a command and end it by a signal, so many times; then let it finish.

    Whenever it comes to its end before the signal, its result is put aside and it begins anew.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # So a shell starts what it puts into the background, and the command would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, killed = random.Random(seed), Killed(command.name)
    with temporary_folder() as base:
        results, temporary = base / "results", base / "temporary"
        temporary.mkdir()
        while killed.sent < times:
            results.mkdir(exist_ok=True)
            if command.done(results) >= command.whole:
                _remove(results)
                continue
            _once(command, rng, results, temporary, killed)
        results.mkdir(exist_ok=True)
        code = None
        with _started(command, results, temporary) as process, suppress(subprocess.TimeoutExpired):
            code = process.wait(FINISHING_S)
        killed.finished = code == 0 and command.done(results) == command.whole
        # PyTorch makes its cache's folder there, which is not Twofold's to remove.
        left = [path for path in temporary.iterdir() if "torchinductor" not in path.name]
        killed.left_behind = len(left)
        killed.left_behind += sum(path.name.endswith(".tmp") for path in results.rglob("*"))
    return killed


def _once(
    command: Resumable, rng: random.Random, results: Path, temporary: Path, killed: Killed
) -> None:
    """One start that a signal ends at a random moment."""
    name = SIGNALS[killed.sent % len(SIGNALS)]
    before = command.done(results)
    with _started(command, results, temporary) as process:
        try:
            process.wait(rng.uniform(0, command.longest_s))
            if process.returncode != 0:
                killed.broken.append(f"ended by itself with {process.returncode}")
                killed.sent += 1  # else it would be tried for ever
                _remove(results)
            return
        except subprocess.TimeoutExpired:
            process.send_signal(getattr(signal, name))
        killed.sent += 1
        try:
            code = process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            killed.broken.append(f"{name}: did not end within {ENDING_S:g} s")
            return
    said = _said(temporary).read_text(encoding="utf-8", errors="replace")
    found = wrong_code(name, code, said) or wrong(command, results, before)
    if found:
        killed.broken.append(f"{name}: {found}")
        _remove(results)  # what is damaged once would be told again by every later start
    else:
        killed.held += 1


def wrong_code(name: str, code: int, said: str = "") -> str:
    """What is wrong with the exit code after a signal, given standard error; "" if nothing is.

    A signal ends a command with 130, or before it has begun by itself; 0 if it came too late.
    """
    allowed = (0, -getattr(signal, name)) + ((INTERRUPTED,) if name != "SIGKILL" else ())
    if code in allowed or (name == "SIGINT" and code == 1 and in_pythons_own_start(said)):
        return ""
    return f"exit code {code}; allowed is one of {allowed}"


def in_pythons_own_start(said: str) -> bool:
    """Whether a traceback is of Python itself, before it ran any of the command's own code.

    There SIGINT ends Python 3.11 with code 1, whatever the command is: while it imports `site` or
    `runpy`. No frame is of a file in the checkout or of a library.
    """
    frames = re.findall(r'^  File "(.+?)", line', said, re.MULTILINE)
    library = sysconfig.get_path("purelib")
    own = [frame for frame in frames if frame.startswith((str(ROOT), library))]
    return said.rstrip().endswith("KeyboardInterrupt") and bool(frames) and not own


def wrong(command: Resumable, results: Path, before: int) -> str:
    """What is wrong after a start that was ended; "" if nothing is."""
    try:
        after = command.done(results)
    except (ValueError, KeyError) as error:
        return f"the result is damaged: {error}"
    if after < before:
        return f"of {before} results {after} are left"
    end = time.monotonic() + LEAVING_S
    while alive := _processes(results):
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    if not alive:
        return ""
    for each in alive:
        each.kill()
    return f"{len(alive)} processes were left"


@contextmanager
def _started(
    command: Resumable, results: Path, temporary: Path
) -> Iterator[subprocess.Popen[bytes]]:
    variables = {**os.environ, "TMPDIR": str(temporary), MARK: str(results)}
    with _said(temporary).open("w") as said:
        process = subprocess.Popen(
            [sys.executable, *command.words(results)],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _said(temporary: Path) -> Path:
    """The file that takes what the command says on standard error."""
    return temporary.parent / "said"


def _processes(results: Path) -> list[psutil.Process]:
    """Processes that descend from the attacked command: they have its mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(results):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def stored(folder: Path) -> dict[str, Killed]:
    """What is stored of each command. Raises ResultError."""
    path = path_of(folder, "kills")
    if not path.exists():
        return {}
    commands = read_result(path, KILLS_SCHEMA, StoredKills)["commands"]
    return {each["command"]: Killed(**each) for each in commands}


def store(folder: Path, seed: int, killed: Killed) -> Path:
    """Add what came of a command to what `attacks-kills.json` has of it."""
    together = stored(folder)
    before = together.get(killed.command)
    together[killed.command] = killed if before is None else _sum(before, killed)
    return write_json(
        path_of(folder, "kills"),
        {
            "schema": KILLS_SCHEMA,
            "environment": environment.describe(),
            "seed": seed,
            "commands": [asdict(each) for each in together.values()],
        },
    )


def _sum(one: Killed, other: Killed) -> Killed:
    return Killed(
        one.command,
        one.sent + other.sent,
        one.held + other.held,
        [*one.broken, *other.broken],
        one.finished and other.finished,
        one.left_behind + other.left_behind,
    )
