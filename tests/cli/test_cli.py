"""The commands as a person runs them: in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from twofold.cli import doctor
from twofold.spec import toml
from twofold.spec.experiment import Experiment

PROJECT = Path(__file__).parents[2]


def run(*arguments, code=None, columns=80, **variables):
    """Run `twofold` with arguments (or Python code that calls it)."""
    start = ["-m", "twofold.cli.main"] if code is None else ["-c", textwrap.dedent(code)]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"COLUMNS": str(columns), "NO_COLOR": "1"} | variables,
    )


def test_help_imports_nothing_heavy():
    result = run(
        code="""
        import sys
        sys.argv = ["twofold", "--help"]
        from twofold.cli.main import main
        try:
            main()
        except SystemExit as end:
            assert end.code == 0, end.code
        heavy = {"numpy", "pydantic", "torch", "jax", "flax", "optax", "pandas", "sklearn",
                 "altair", "rich", "psutil", "twofold.spec.experiment"}
        print(sorted(heavy & set(sys.modules)), file=sys.stderr)
        """
    )
    assert result.stderr.strip() == "[]"
    assert "Usage:" in result.stdout
    for command in ("doctor", "experiments", "parity", "show", "time"):
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("show", "--help"), ("experiments",), ("show", "lesson")],
)
def test_output_fits_the_width(arguments, columns):
    result = run(*arguments, columns=columns)
    assert result.returncode == 0
    assert result.stderr == ""
    assert max(len(line) for line in result.stdout.splitlines()) <= columns


def test_version():
    result = run("--version")
    assert result.returncode == 0
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert result.stdout == f"twofold {version}\n"


def test_experiments_are_listed_in_a_line_each():
    lines = run("experiments", columns=120).stdout.splitlines()
    for name in toml.builtin_names():
        assert sum(line.startswith(f"{name} ") for line in lines) == 1


def test_show_the_lesson():
    result = run("show", "lesson")
    assert result.returncode == 0
    assert result.stderr == ""
    assert "19,587" in result.stdout
    assert "157 steps an epoch, 1,570 steps in all" in result.stdout


def test_what_show_prints_is_a_spec_with_the_feature_counts_filled_in():
    result = run("show", "digits", "--set", "seed=7", "--set", "optimizer.kind=sgd")
    shown = Experiment.from_toml(result.stdout)
    expected = Experiment.load("digits", ("seed=7", "optimizer.kind=sgd"))
    assert shown == expected.with_values(model__in_features=64, model__out_features=10)


def test_show_says_what_a_schedule_makes_of_the_rate_and_what_decays():
    """8 steps, 0 to 7: half of 1e-2 at step 4, an eighth of it left at the last."""
    changes = (
        "optimizer.schedule.kind=linear",
        "optimizer.schedule.transition_steps=8",
        "optimizer.learning_rate=0.01",
        "optimizer.decay_biases=false",
        "training.steps=8",
        "model.hidden=[8]",
        "loss.class_weights=[1, 1, 1, 1, 1, 1, 1, 1, 1, 2.5]",
    )
    result = run("show", "digits", *(part for each in changes for part in ("--set", each)))
    lines = result.stdout.splitlines()
    says = "# learning rate 0.01 at step 0, 0.005 at step 4, 0.00125 at step 7 (counted from 0)"
    assert says in lines
    assert "# 592 of 610 parameters decay" in lines  # 64 * 8 + 8 * 10, and 18 biases
    shown = Experiment.from_toml(result.stdout)
    assert shown == Experiment.load("digits", changes).with_values(
        model__in_features=64, model__out_features=10
    )


def test_show_the_schema():
    schema = json.loads(run("show", "--json-schema").stdout)
    assert set(schema["properties"]) == set(Experiment.model_fields)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "digit"), "error: spec 'digit': no built-in experiment"),
        (("show", "nowhere/spec.toml"), "no such file"),
        (("show", "digits", "--set", "data.batch_size=0"), "data.batch_size: 0 given; allowed"),
        (("show", "digits", "--set", "optimizer.learning_rate=nan"), "nan given; allowed is"),
        (("show", "digits", "--set", "model.hiden=3"), "did you mean hidden?"),
        (("show", "diabetes", "--set", "model.in_features=3"), "model.in_features: 3 given"),
        (("show", "digits", "--set", "data.source=x.npz"), "No such file or directory"),
        (("show", "digits", "--set", "data"), "allowed is field=value"),
        (("show",), "give a built-in experiment or a TOML file"),
        (("show", "digits", "--nonsense"), "No such option"),
        (("nonsense",), "No such command"),
    ],
)
def test_bad_input_gives_one_message_and_exit_code_2(arguments, says):
    result = run(*arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_several_errors_in_one_message(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text('sed = 1\n[loss]\nkind = "l1"\n')
    result = run("show", str(spec), "--set", "seed=-1")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {spec}: 3 errors\n  ")
    assert len(result.stderr.splitlines()) == 4


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("errors.ParityDiverges('the gradient')", 1),
        ("errors.DataError('the labels')", 2),
        ("errors.EngineFailed('torch:eager')", 3),
        ("MemoryError('8 TiB')", 2),
        ("KeyboardInterrupt()", 130),
    ],
)
def test_exit_codes(error, code):
    result = run(code=RAISES.format(error=error))
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ") or code == 130


RAISES = """
import sys
from twofold import errors
from twofold.cli import app, main
@app.app.command()
def explode():
    raise {error}
sys.argv = ["twofold", "explode"]
main.main()
"""


def test_a_bug_is_not_swallowed():
    result = run(code=RAISES.format(error="ZeroDivisionError('a bug')"))
    assert result.returncode == 3  # code 1 says that something diverges
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: a bug" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interrupt():
    code = """
    import sys, time
    from twofold.cli import app, main
    @app.app.command()
    def wait():
        print("waiting", flush=True)
        time.sleep(60)
    sys.argv = ["twofold", "wait"]
    main.main()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_doctor_finds_what_is_here():
    import jax
    import torch

    result = run("doctor")
    assert result.returncode == 0
    assert result.stderr == ""
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    for word in (torch.__version__, jax.__version__, "torch:eager", "flax:jit", "cpu", "compiler"):
        assert word in result.stdout


def test_doctor_names_a_missing_framework_and_the_command():
    result = run(
        columns=120,
        code="""
        import sys
        import importlib.util as util
        find = util.find_spec
        util.find_spec = lambda name, *rest: None if name == "optax" else find(name, *rest)
        sys.argv = ["twofold", "doctor"]
        from twofold.cli.main import main
        main()
        """,
    )
    assert result.returncode == 0
    assert "optax; install with: pip install 'twofold[flax]'" in result.stdout


def test_doctor_reports_a_broken_framework(tmp_path):
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('libtorch is damaged')\n")
    result = run("doctor", PYTHONPATH=str(tmp_path), columns=120)
    assert result.returncode == 0
    assert "OSError: libtorch is damaged" in result.stdout
    assert "Backend flax" in result.stdout


def test_doctor_and_the_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "CXX names 'no-such-compiler'" in doctor.compiler()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install with: " in doctor.compiler()


def test_doctor_knows_the_extras_of_the_project():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for extra, packages in doctor.EXTRAS.items():
        declared = project["optional-dependencies"][extra]
        assert sorted(item.partition(">")[0] for item in declared) == sorted(packages)


def test_doctor_names_missing_extras(monkeypatch):
    monkeypatch.setattr(doctor, "EXTRAS", {"guide": ("no-such-package", "numpy")})
    expected = "missing: no-such-package; install with: pip install 'twofold[guide]'"
    assert doctor.extras() == [("guide", expected)]
