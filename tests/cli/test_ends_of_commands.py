"""How commands end when the disk is full, a framework ends the process, or nobody foresaw it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import twofold

FULL = Path("/dev/full")
PARITY = "from twofold.commands import run_command\nrun_command(lambda: main())\n"


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **variables},
        timeout=120,
    )


def command(body: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a main function with this body as commands are run."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return python("-c", f"def main():\n{lines}    return 0\n{PARITY}", **variables)


def test_the_module_is_the_command_line() -> None:
    said = python("-m", "twofold", "--version")
    assert (said.returncode, said.stdout) == (0, f"twofold {twofold.__version__}\n")
    wrong = python("-m", "twofold", "show", "digit")
    assert wrong.returncode == 2
    assert "did you mean digits?" in wrong.stderr


def test_garbage_is_still_collected_in_a_command() -> None:
    """Less often than by default, but what forms circles goes at last."""
    body = "import gc\nfor _ in range(200_000): circle = []; circle.append(circle)\n"
    said = command(f"{body}print(gc.isenabled(), len(gc.get_objects()) < 150_000)")
    assert (said.returncode, said.stdout) == (0, "True True\n")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_output_to_a_full_disk_is_told_in_a_sentence() -> None:
    with FULL.open("w") as full:
        show = [sys.executable, "-m", "twofold", "show", "digits"]
        said = subprocess.run(show, stdout=full, stderr=subprocess.PIPE, encoding="utf-8")
    assert said.returncode == 2
    assert said.stderr.startswith("error: cannot be written: No space left on device; free some")
    assert len(said.stderr.splitlines()) == 1


RESULT = """
import resource
from twofold.results.json_files import write_json
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_json({path!r}, {{"schema": "a/1", "text": "x" * 5000}})
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no limit on files")
def test_a_limit_on_files_keeps_the_result_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"schema": "a/1"}))
    said = command(RESULT.format(path=str(path)))
    assert said.returncode == 2
    assert said.stderr == f"error: {path}: cannot be written: File too large\n"
    assert json.loads(path.read_text()) == {"schema": "a/1"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no limit on files")
def test_a_limit_on_files_is_told_wherever_it_is_met(tmp_path: Path) -> None:
    """Not in a result: where a table is laid down for the processes of a timing."""
    said = command(
        f"import resource\nfrom pathlib import Path\nimport numpy as np\n"
        f"from twofold.problem.stored_table import write_table\n"
        f"from twofold.problem.table import Table\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"write_table(Table('a', np.ones((999, 9)), np.ones(999)), Path({str(tmp_path)!r}) / 'a')"
    )
    assert said.returncode == 2
    assert "cannot be written: File too large; free some space" in said.stderr
    assert "Traceback" not in said.stderr


def test_what_nobody_foresaw_is_never_told_as_a_divergence() -> None:
    said = command("raise IndexError('tuple')")
    assert said.returncode == 3
    assert said.stderr.endswith("IndexError: tuple\n")
    memory = command("raise MemoryError")
    assert memory.returncode == 2
    assert memory.stderr.startswith("error: not enough memory")


OPEN = "from twofold_jax.device import choose_device, probe\nfrom twofold import Experiment\n"


def test_platforms_that_are_not_here_are_unavailable() -> None:
    said = command(
        f"{OPEN}assert probe('flax')['default_device'] == 'none'\nchoose_device(Experiment())",
        JAX_PLATFORMS="tpu",
        XLA_FLAGS="",
    )
    assert said.returncode == 3
    assert "finds none of cuda, mps, cpu here, with JAX_PLATFORMS = 'tpu'; set" in said.stderr
    assert "Traceback" not in said.stderr


def test_flags_that_end_the_process_are_unavailable_and_not_a_divergence() -> None:
    said = command(f"{OPEN}choose_device(Experiment())", XLA_FLAGS="--senseless=1")
    assert said.returncode == 3
    assert said.stderr.startswith("error: XLA_FLAGS: '--senseless=1' given; XLA ends the process")
    good = "--xla_force_host_platform_device_count=2"
    sound = command(
        f"{OPEN}import jax\nchoose_device(Experiment())\nassert len(jax.devices('cpu')) == 2",
        XLA_FLAGS=good,
        JAX_PLATFORMS="cpu",
    )
    assert sound.returncode == 0
