"""Compiled steps kept on disk, while starts are killed and run beside each other.

One trial begins with an empty cache. Two trainings start at once and share it; one of them is
killed at a random moment, while it compiles or writes. The other must end with the bits of a
training that nobody disturbed. A third start then finds what the two left, and must end with the
same bits.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import Field

from comparisons.evidence.attacks.kills import tensors_in
from comparisons.evidence.attacks.tally import path_of
from twofold.errors import EngineFailed
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.results.stored import Count, Measurement, Name, Stored, Text, read_result
from twofold.temporary import temporary_folder

STARTS_SCHEMA: Final = "twofold.attacks-on-starts/1"
ENGINES: Final = ("torch:compile-step", "torch:compile-epoch")
OPTIONS: Final = ("--set", "training.epochs=1", "--set", "device=cpu")
LONGEST_S: Final = 600.0
LATEST_KILL_S: Final = 25.0
"""A cold start of `torch:compile-step` alone took 12 to 19 s on two cores of an AMD EPYC."""
ROOT: Final = Path(__file__).parents[3]


class StoredEngine(Stored):
    """What came of one engine's trials."""

    engine: Name
    trials: Count
    killed: Count
    survivors: Count
    later: Count
    kept: Count
    broken: list[Text] = Field(default_factory=list)


class StoredStarts(Measurement):
    """`twofold.attacks-on-starts/1`."""

    seed: Count
    engines: list[StoredEngine]


@dataclass
class Tried:
    """What came of one engine's trials so far.

    `killed`: first starts that the signal met alive; the others had ended. `survivors` and
    `later`: second and third starts that ended with the right bits. `kept`: third starts that found
    all their libraries, and kept no further one.
    """

    engine: str
    trials: int = 0
    killed: int = 0
    survivors: int = 0
    later: int = 0
    kept: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every start that was let live ended with the right bits."""
        return not self.broken and self.survivors == self.later == self.trials


def attempt(tried: Tried, seed: int) -> None:
    """One trial; its outcome is added to `tried`. Trials are told apart by their number."""
    rng = random.Random(f"{seed} {tried.engine} {tried.trials}")
    expected = undisturbed(tried.engine)
    tried.trials += 1
    with temporary_folder() as base:
        programs = base / "programs"
        with (
            _started(tried.engine, base / "first", programs) as first,
            _started(tried.engine, base / "second", programs) as second,
        ):
            try:
                first.wait(rng.uniform(0, LATEST_KILL_S))
            except subprocess.TimeoutExpired:
                first.kill()
                tried.killed += 1
            tried.survivors += _right(tried, "the survivor", second, base / "second", expected)
        kept = set(_libraries(programs))
        tried.broken += [f"damaged library {path.name}" for path in kept if not _whole(path)]
        with _started(tried.engine, base / "third", programs) as third:
            tried.later += _right(tried, "the next start", third, base / "third", expected)
        tried.kept += bool(kept) and kept == set(_libraries(programs))


def words(engine: str, run: Path) -> list[str]:
    """The training's command, after Python itself."""
    command = ["-m", "twofold", "train", "diabetes", "--engine", engine, "--output", str(run)]
    return [*command, *OPTIONS]


def _right(
    tried: Tried,
    who: str,
    process: subprocess.Popen[bytes],
    run: Path,
    expected: Mapping[str, bytes],
) -> bool:
    """Whether a training ends well and with the right bits; what is wrong is noted."""
    try:
        code = process.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        tried.broken.append(f"{who}: not done within {LONGEST_S:g} s")
        return False
    if code:
        tried.broken.append(f"{who}: exit code {code}")
    elif tensors_in(run / "model.safetensors") != expected:
        tried.broken.append(f"{who}: other bits than those of an undisturbed training")
    else:
        return True
    return False


@cache
def undisturbed(engine: str) -> dict[str, bytes]:
    """The bits of a training that nobody disturbs. Raises EngineFailed where it fails."""
    with temporary_folder() as base:
        with _started(engine, base / "run", base / "programs") as process:
            code = process.wait(LONGEST_S)
        if code:
            raise EngineFailed(f"{engine}: a training that nobody disturbed ended with {code}")
        return tensors_in(base / "run" / "model.safetensors")


def _libraries(programs: Path) -> Iterator[Path]:
    """The compiled steps that were kept."""
    return programs.glob("twofold/*.so")


def _whole(path: Path) -> bool:
    """Whether a library is what its name says: `key.digest.so`."""
    return hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.name.split(".")[1])


@contextmanager
def _started(engine: str, run: Path, programs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A training with a cache folder; it and its compilers are ended at last."""
    process = subprocess.Popen(
        [sys.executable, *words(engine, run)],
        cwd=ROOT,
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(programs)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a compiler may have outlived its parent
        process.wait()


def stored(folder: Path) -> dict[str, Tried]:
    """What is stored of each engine. Raises ResultError."""
    path = path_of(folder, "starts")
    if not path.exists():
        return {}
    engines = read_result(path, STARTS_SCHEMA, StoredStarts)["engines"]
    return {each["engine"]: Tried(**each) for each in engines}


def store(folder: Path, seed: int, tried: Tried) -> Path:
    """Put what came of an engine's trials in the place of what was stored of it."""
    together = {**stored(folder), tried.engine: tried}
    return write_json(
        path_of(folder, "starts"),
        {
            "schema": STARTS_SCHEMA,
            "environment": environment.describe(),
            "seed": seed,
            "engines": [asdict(each) for each in together.values()],
        },
    )
