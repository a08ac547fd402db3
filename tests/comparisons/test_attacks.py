"""The attacks in their small form, and that what must fail a run does fail it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from comparisons import attacks
from comparisons.evidence.attacks import checkpoints, controls, kills, page, starts, watchdog
from comparisons.evidence.attacks.kills import ROOT, Resumable, StoredKills
from comparisons.evidence.attacks.sections import SECTIONS, Section
from comparisons.evidence.attacks.tally import Tally, path_of
from comparisons.evidence.attacks.watchdog import failed, run_cases
from comparisons.narrator import Narrator
from twofold.errors import BadInput, ResultError
from twofold.results import environment

SMALL = {"specs": 200, "tables": 100, "results": 50}


@pytest.mark.parametrize("section", SECTIONS[:3], ids=SMALL)
def test_what_people_bring_brings_nothing_down(section: Section) -> None:
    cases = list(run_cases(section.attack, 1, 0, SMALL[section.name]))
    assert [case.number for case in cases] == list(range(SMALL[section.name]))
    assert [case for case in cases if failed(case.outcome)] == []
    assert len({case.outcome for case in cases}) > 1


def test_no_damage_of_a_checkpoint_passes_unseen(tmp_path: Path) -> None:
    """Every 23rd case; 8, 9 and 23 have no common factor, so that all bits have their turn."""
    outcomes = set()
    for number in range(0, checkpoints.cases(), 23):
        try:
            outcomes.add(checkpoints.attack(0, number, tmp_path))
        except Exception as error:
            outcomes.add(type(error).__name__)
    assert "DataError" in outcomes
    assert outcomes <= {"DataError", "accepted: the same state"}


def test_the_watchdog_sees_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "MOST_BYTES", controls.MEMORY // 2)
    attack = f"{controls.__name__}:attack"
    cases = list(run_cases(attack, 0, 0, len(controls.EXPECTED), longest_s=3.0))
    assert tuple(case.outcome for case in cases) == controls.EXPECTED
    assert [failed(case.outcome) for case in cases] == [False, False, *[True] * 5, False]
    assert cases[2].words == "controls.py:25: 'field'"


def _run(folder: Path, asked: int) -> Tally:
    section = SECTIONS[3]
    tally = Tally.at(folder, section.name, 0, asked)
    attacks.run_section(section, tally, folder, Narrator())
    return tally


def test_a_section_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    assert _run(tmp_path / "a", 3).done == 3
    in_two, at_once = _run(tmp_path / "a", 5), _run(tmp_path / "b", 5)
    assert in_two.done == at_once.done == 5
    assert in_two.outcomes == at_once.outcomes
    with pytest.raises(BadInput, match="holds another seed"):
        Tally.at(tmp_path / "a", "checkpoints", 1, 5)
    path = path_of(tmp_path / "a", "checkpoints")
    path.write_text(path.read_text().replace('"done": 5', '"done": "x"'))
    with pytest.raises(ResultError, match="done: 'x' given"):
        Tally.at(tmp_path / "a", "checkpoints", 0, 5)


SCRIPT = """
import json, pathlib, subprocess, sys, time
path = pathlib.Path(sys.argv[1]) / "done.json"
done = json.loads(path.read_text()) if path.exists() else 0
{first}
while done < 6:
    time.sleep(0.1)
    done += 1
    new = path.with_suffix(".new")
    new.write_text(json.dumps(done))
    new.replace(path)
"""


def _command(tmp_path: Path, first: str = "", longest_s: float = 0.5) -> Resumable:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(first=first))

    def done(folder: Path) -> int:
        path = folder / "done.json"
        return json.loads(path.read_text()) if path.exists() else 0

    return Resumable("a command", lambda folder: [str(script), str(folder)], done, 6, longest_s)


def test_a_command_that_goes_on_holds(tmp_path: Path) -> None:
    killed = kills.kill(_command(tmp_path), 0, 4)
    assert (killed.sent, killed.held, killed.broken) == (4, 4, [])
    assert killed.good


def test_what_a_killed_command_loses_or_leaves_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, results = _command(tmp_path), tmp_path / "results"
    results.mkdir()
    monkeypatch.setattr(kills, "LEAVING_S", 0.1)
    (results / "done.json").write_text("3")
    assert kills.wrong(command, results, 3) == ""
    assert kills.wrong(command, results, 5) == "of 5 results 3 are left"
    (results / "done.json").write_text("{")
    assert kills.wrong(command, results, 3).startswith("the result is damaged: Expecting")
    (results / "done.json").write_text("4")
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeping, env={**os.environ, kills.MARK: str(results)}) as left:
        assert kills.wrong(command, results, 3) == "1 processes were left"
        assert left.wait(10) != 0  # ended there


def test_a_command_that_breaks_by_itself_is_told(tmp_path: Path) -> None:
    killed = kills.kill(_command(tmp_path, "sys.exit(5)", longest_s=60.0), 0, 1)
    assert killed.broken == ["ended by itself with 5"]
    assert not killed.good


def test_interrupts_reach_a_command_though_a_shell_had_them_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "ENDING_S", 5.0)
    monkeypatch.setattr(kills, "FINISHING_S", 0.1)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        killed = kills.kill(_command(tmp_path, "time.sleep(30)"), 0, 3)  # the third is SIGINT
    finally:
        signal.signal(signal.SIGINT, before)
    assert (killed.sent, killed.held, killed.broken) == (3, 3, [])


def test_the_exit_code_must_be_that_of_the_signal() -> None:
    assert kills.wrong_code("SIGINT", 130) == kills.wrong_code("SIGINT", -2) == ""
    assert kills.wrong_code("SIGTERM", -15) == kills.wrong_code("SIGKILL", 0) == ""
    assert kills.wrong_code("SIGTERM", 1) == "exit code 1; allowed is one of (0, -15, 130)"
    assert kills.wrong_code("SIGKILL", 130) == "exit code 130; allowed is one of (0, -9)"


IN_RUNPY = """Traceback (most recent call last):
  File "<frozen runpy>", line 15, in <module>
  File "/usr/lib/python3.11/contextlib.py", line 613, in <module>
KeyboardInterrupt
"""
IN_TWOFOLD = IN_RUNPY.replace("/usr/lib/python3.11/contextlib.py", f"{ROOT}/src/twofold/errors.py")


def test_code_1_is_pythons_own_only_where_no_code_of_the_command_had_run() -> None:
    wrong = "exit code 1; allowed is one of (0, -2, 130)"
    assert kills.wrong_code("SIGINT", 1, IN_RUNPY) == ""
    assert kills.wrong_code("SIGINT", 1, IN_TWOFOLD) == wrong
    assert kills.wrong_code("SIGINT", 1, IN_RUNPY.replace("KeyboardInterrupt", "OSError")) == wrong
    assert kills.wrong_code("SIGINT", 1, "") == wrong
    assert kills.wrong_code("SIGTERM", 1, IN_RUNPY).startswith("exit code 1")


@pytest.mark.slow
# Every second command: ATTACKS.md is of all of them, with many more signals.
@pytest.mark.parametrize("command", kills.COMMANDS[::2], ids=lambda each: each.name)
def test_what_can_go_on_does_after_two_kills(command: Resumable) -> None:
    killed = kills.kill(command, 0, 2)
    assert killed.good, killed


def test_the_page_tells_what_is_stored(tmp_path: Path) -> None:
    tally = Tally("specs", 0, 10)
    for number, outcome in enumerate(["SpecError", "accepted", "foreign: Key|Error"]):
        tally.add(watchdog.Case(number, outcome, "a *word*", 0.25, 2**20))
    tally.store(tmp_path)
    kills.store(tmp_path, 0, kills.Killed("sweep", 2, 2, [], True, 0))
    kills.store(tmp_path, 0, kills.Killed("sweep", 1, 0, ["SIGINT: lost"], True, 0))
    text = page.page([tmp_path])
    assert "| 3 | 10 | 2 | 1 | 0.25 s | 1 MiB |" in text
    assert "| 3 | 2 | 1 | yes | 0 |" in text
    assert "What was broken:\n\n- `sweep`: SIGINT: lost\n" in text
    assert "No kills are stored of: twofold sweep, " in text
    assert "- specs case 2 (seed 0): foreign: Key\\|Error: a \\*word\\*" in text
    stored = json.loads((tmp_path / "attacks-kills.json").read_text())
    assert StoredKills.model_validate(stored).commands[0].sent == 3
    assert sys.executable not in text


FAKE_TRAINING = """
import pathlib, sys, time
import os
import numpy as np
from twofold.problem.checkpoint import save
from twofold.problem.state import TrainState
run, programs = pathlib.Path(sys.argv[1]), pathlib.Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
time.sleep(1)
run.mkdir()
kept = list(programs.glob("twofold/*.so"))
value = {value}
(programs / "twofold").mkdir(parents=True, exist_ok=True)
(programs / "twofold" / "{name}").write_bytes(b"library")
state = TrainState({{"layers.0.weight": np.full((1, 3), value, np.float32)}}, {{}}, 0)
save(state, run / "model.safetensors")
"""
WHOLE = f"key.{hashlib.sha256(b'library').hexdigest()[:32]}.so"


@pytest.mark.parametrize(
    ("value", "name", "survivors", "later", "broken"),
    [
        ("1.0", WHOLE, 1, 1, []),
        (
            "1.0 if not kept else 2.0",
            WHOLE,
            1,
            0,
            ["the next start: other bits than those of an undisturbed training"],
        ),
        ("1.0", "key.0000.so", 1, 1, ["damaged library key.0000.so"]),
        (
            "1.0 if 'run' == run.name else sys.exit(3)",
            WHOLE,
            0,
            0,
            ["the survivor: exit code 3", "the next start: exit code 3"],
        ),
    ],
)
def test_a_start_that_goes_wrong_is_noted(
    value: str,
    name: str,
    survivors: int,
    later: int,
    broken: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A script in the place of a training; what a trial finds of it."""
    script = FAKE_TRAINING.format(value=value, name=name)
    monkeypatch.setattr(starts, "words", lambda _, run: ["-c", script, str(run)])
    monkeypatch.setattr(starts, "LATEST_KILL_S", 0.1)  # before any of them has written
    starts.undisturbed.cache_clear()
    tried = starts.Tried("torch:compile-step")
    starts.attempt(tried, 0)
    starts.undisturbed.cache_clear()
    assert (tried.trials, tried.killed, tried.survivors, tried.later) == (1, 1, survivors, later)
    assert tried.broken == broken
    assert tried.good == (not broken)
    starts.store(tmp_path, 0, tried)
    assert starts.stored(tmp_path) == {tried.engine: tried}
    told = page.page([tmp_path])
    assert f"| torch:compile-step | {environment.describe()['processor']} | 1 | 1 |" in told
    assert all(words in told for words in broken)
