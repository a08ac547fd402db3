"""Engines of processes in worlds of several: certified, and with a bug planted not.

What they do in a world of one is tested with all engines, in `test_engines.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from twofold.engines.launch import launch

PROGRAM = str(Path(__file__).parent / "climb_in_a_world.py")
pytestmark = pytest.mark.slow


def verdicts(folder: Path, engine: str, processes: int, bug: str) -> dict[str, str]:
    """The verdict of each rung in the first process."""
    file = folder / "verdicts.json"
    assert launch([engine, bug, str(file)], processes, [sys.executable, PROGRAM]) == 0
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("engine", "processes", "bug"),
    [
        ("torch:ddp", 2, "none"),
        ("torch:ddp", 3, "none"),
        ("flax:sharded", 2, "none"),
        ("flax:sharded", 1, "several devices"),
        ("flax:sharded-weights", 2, "none"),
    ],
)
def test_every_rung_holds(tmp_path: Path, engine: str, processes: int, bug: str) -> None:
    found = verdicts(tmp_path, engine, processes, bug)
    assert len(found) >= 12
    assert set(found.values()) == {"certified"}


@pytest.mark.parametrize(
    ("engine", "processes", "bug", "rung"),
    [
        ("torch:ddp", 3, "without shares", "loss"),
        ("torch:ddp", 2, "masks of the first rows", "forward"),
        ("flax:sharded", 1, "filled rows count", "forward"),
        ("flax:sharded-weights", 2, "parts of other devices", "init"),
    ],
)
def test_a_planted_bug_is_caught(
    tmp_path: Path, engine: str, processes: int, bug: str, rung: str
) -> None:
    found = verdicts(tmp_path, engine, processes, bug)
    assert next(name for name, verdict in found.items() if verdict != "certified") == rung


@pytest.mark.parametrize("engine", ["torch:ddp", "flax:sharded"])
def test_processes_that_were_given_several_states_say_so(
    tmp_path: Path, engine: str, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [engine, "other state", str(tmp_path / "verdicts.json")]
    assert launch(arguments, 2, [sys.executable, PROGRAM]) == 1
    assert "process 0 of 2: process 1 was given another train state" in capfd.readouterr().err
