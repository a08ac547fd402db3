"""`twofold doctor --check`: what it says of engines that hold, diverge, break or are not here."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from twofold.backends.installed import engine_names
from twofold.cli import doctor_check
from twofold.cli.app import app
from twofold.engines.registry import find_engine
from twofold.errors import BadInput
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Limits

SHORT_S = 60.0
WORKER = """
import os, sys, time
from twofold.parity.judging.verdict import Explanation, ParityReport, Rung, Worst
from twofold.spec.experiment import Experiment
from twofold.timing import worker

SAID = {{"default_device": "cuda", "devices": ["cuda: a card", "cpu"],
         "versions": {{"torch": "9.9"}}}}

class Fake:
    def certify(self, experiment, engine, precisions, steps, ladder):
        assert (steps, ladder) == (1, "one step")
        own = Experiment.model_validate_json(experiment)
        def rung(name, verdict="certified", **more):
            return Rung(name, engine, "float32", verdict, 0.5, None, "said of " + name, **more)
        names = ("forward", "loss", "gradients", "update (warm)")
        rungs = {{name: rung(name) for name in names}}
        {certify}
        said = {{"backends": {{engine.partition(":")[0]: SAID}}}}
        report = ParityReport(own, said, tuple(rungs.values()))
        return {{**report.to_json(), "environment": said}}

worker.confine("")
commands, answers = worker.protected_streams()
class Table:
    def __getattr__(self, name): return getattr(Fake(), name, None)
worker.serve(Table(), commands, answers)
"""


def run(*arguments: str, columns: int = 80, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "twofold.cli.main", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
        env=os.environ | {"COLUMNS": str(columns), "NO_COLOR": "1"} | variables,
    )


def checked(
    certify: str, engine: str = "torch:eager", limit_s: float = SHORT_S
) -> list[doctor_check.Checked]:
    """What is said of an engine whose worker's `certify` runs some code."""

    def start(engine: str, text: str, cpus: Sequence[int], limits: Limits) -> ProcessWorker:
        code = WORKER.format(certify=certify)
        command = (sys.executable, "-c", code)
        return ProcessWorker(engine, text, cpus, limits=limits, command=command)

    return list(doctor_check.check([engine], "auto", limit_s, start))


def printed(found: Sequence[doctor_check.Checked], columns: int = 80) -> str:
    console = Console(file=io.StringIO(), width=columns, highlight=False)
    for each in found:
        doctor_check.print_checked(each, len(each.engine), console)
    doctor_check.print_end(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_engine_that_holds() -> None:
    found = checked("pass")
    assert [(each.state, each.exit_code) for each in found] == [("certified", 0)]
    said = printed(found)
    assert "cuda: a card" in said
    assert "torch 9.9" in said
    assert "1 engine: 1 certified" in said
    assert doctor_check.answer(found) == 0


def test_a_known_difference_is_named() -> None:
    model = 'explanation=Explanation("a known cause", "s", "z", "c", 5.0)'
    found = checked(f'rungs["update (warm)"] = rung("update (warm)", "explained", {model})')
    assert [(each.state, each.reason) for each in found] == [("explained", "a known cause")]
    assert doctor_check.answer(found) == 0


def test_an_engine_that_diverges_is_told_in_full() -> None:
    found = checked(
        'rungs["loss"] = Rung("loss", engine, "float32", "diverges", 7.0, '
        'Worst("training loss", (), 2.0, 1.0, 0.125), "1 of 1 elements outside")'
    )
    assert [(each.state, each.exit_code) for each in found] == [("diverges", 1)]
    assert "worst element  training loss" in printed(found)
    assert doctor_check.answer(found) == 1


@pytest.mark.parametrize(
    ("certify", "limit_s", "reason"),
    [
        ('raise RuntimeError("the driver is too old")', SHORT_S, "the driver is too old"),
        ("os._exit(9)", SHORT_S, "ended in 'certify' with exit code 9"),
        ("os.abort()", SHORT_S, "by signal SIGABRT"),
        ("time.sleep(600)", 5.0, "no answer to 'certify' for 5 s"),
        (
            'rungs["loss"] = rung("loss", "not run")',
            SHORT_S,
            "said of loss",
        ),
    ],
)
def test_an_engine_that_breaks_is_named_with_the_reason(
    certify: str, limit_s: float, reason: str
) -> None:
    found = checked(certify, limit_s=limit_s)
    assert [(each.state, each.exit_code) for each in found] == [("broke", 3)]
    assert reason in found[0].reason
    assert doctor_check.answer(found) == 3


def test_a_device_that_is_not_here_is_no_fault() -> None:
    code = (
        'from twofold.errors import DeviceUnavailable; raise DeviceUnavailable("runs on cuda only")'
    )
    absent = checked(code)
    assert [(each.state, each.reason) for each in absent] == [("not here", "runs on cuda only")]
    assert doctor_check.answer([*absent, *checked("pass")]) == 0
    with pytest.raises(BadInput, match="nothing was checked"):
        doctor_check.answer(absent)


def test_what_diverges_counts_more_than_what_broke() -> None:
    codes = (0, 1, 3)
    found = [doctor_check.Checked("torch:eager", "broke", "", 1.0, code) for code in codes]
    assert doctor_check.answer(found) == 1
    assert doctor_check.answer([found[0], found[2]]) == 3


def test_what_shows_nothing_is_not_called_certified() -> None:
    found = checked('rungs["loss"] = rung("loss", "vacuous")')
    assert [(each.state, each.exit_code) for each in found] == [("not shown", 2)]
    assert "no evidence for loss" in found[0].reason


@pytest.fixture(scope="module")
def result() -> subprocess.CompletedProcess[str]:
    return run(
        "--check", "--engines", "torch:eager,flax:op-by-op,torch:cuda-graph", "--device", "cpu"
    )


def test_engines_of_both_frameworks_are_checked(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    rows = {
        line.split()[0]: line.split()[1:3] for line in result.stdout.splitlines() if ":" in line
    }
    assert rows["torch:eager"][0] == "certified"
    assert rows["flax:op-by-op"][0] == "explained"
    assert rows["torch:cuda-graph"] == ["not", "here"]
    assert result.stdout.splitlines()[-1] == "3 engines: 1 certified, 1 explained, 1 not here"
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_a_framework_that_is_damaged_breaks_its_own_engines(tmp_path: Path) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('libtorch is damaged')\n")
    result = run("--check", "--engines", "torch:eager", PYTHONPATH=str(tmp_path), columns=120)
    assert result.returncode == 3
    assert "broke" in result.stdout
    assert "OSError: libtorch is damaged" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engines", "torch:eager"), "add --check"),
        (("--check", "--engines", "torch:eagre"), "did you mean torch:eager?"),
        (("--check", "--engines", ","), "--engines: ',' given"),
        (("--check", "--device", "tpu"), "--device: 'tpu' given"),
    ],
)
def test_bad_options_are_named(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert said in result.stderr


@pytest.mark.slow
def test_an_engine_of_each_kind_holds() -> None:
    """One that compiles, one that loops, one of each backend, and two of processes.

    What every engine computes is tested in tests/conformance.
    """
    names = ("torch:compile-step", "torch:ddp", "flax:scan", "flax:sharded-weights", "equinox:jit")
    result = run("--check", "--engines", ",".join(names), columns=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "broke" not in result.stdout
    assert all(f"{name} " in result.stdout for name in names)
    assert max(len(line) for line in result.stdout.splitlines()) <= 120


def test_without_names_all_engines_of_one_process_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def check(names: Sequence[str], *_: object) -> Iterator[None]:
        asked.extend(names)
        return iter([None] * len(names))

    monkeypatch.setattr(doctor_check, "check", check)
    for name in ("answer", "print_checked", "print_end"):
        monkeypatch.setattr(doctor_check, name, lambda *_: 0)
    assert CliRunner().invoke(app, ["doctor", "--check"]).exit_code == 0
    assert asked == [name for name in engine_names() if not find_engine(name)[1].processes]
    assert {"torch:eager", "torch:compile-epoch", "torch:cuda-graph", "flax:scan"} <= set(asked)
