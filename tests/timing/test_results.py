"""Results on disk, and the description of the machine."""

from __future__ import annotations

import getpass
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twofold.errors import ResultError
from twofold.results import environment, json_files

SCHEMA = "twofold.test/1"


def test_what_is_written_is_read_again_with_numpy_in_plain_types(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.json"
    given = {"schema": SCHEMA, "a": np.float32(0.5), "b": np.arange(3), "c": (np.int64(2), True)}
    assert json_files.write_json(path, given) == path
    found = json_files.read_json(path, SCHEMA)
    assert found == {"schema": SCHEMA, "a": 0.5, "b": [0, 1, 2], "c": [2, True]}
    assert [item.name for item in path.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), np.array([1.0, -np.inf])])
def test_non_finite_numbers_become_null_or_are_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "result.json"
    json_files.write_json(path, {"schema": SCHEMA, "x": value})
    assert "null" in path.read_text()
    before = path.read_text()
    with pytest.raises(ResultError, match=r"result\.x"):
        json_files.write_json(path, {"schema": SCHEMA, "x": value}, non_finite="refuse")
    assert path.read_text() == before


def test_a_write_that_fails_leaves_the_old_result_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    json_files.write_json(path, {"schema": SCHEMA, "x": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResultError, match="No space left"):
        json_files.write_json(path, {"schema": SCHEMA, "x": 2})
    assert json_files.read_json(path, SCHEMA)["x"] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "list given"),
        ('{"schema": "twofold.test/0"}', "schema 'twofold.test/0' given; allowed is"),
        ("{}", "schema None given"),
    ],
)
def test_a_file_that_is_no_such_result_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=message):
        json_files.read_json(path, SCHEMA)


def test_a_missing_file_a_missing_schema_and_odd_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot be read"):
        json_files.read_json(tmp_path / "none.json", SCHEMA)
    with pytest.raises(ResultError, match="no schema"):
        json_files.write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ResultError, match=r"result\.a\[0\]: complex given"):
        json_files.write_json(tmp_path / "x.json", {"schema": SCHEMA, "a": [1j]})


def test_the_environment_names_no_person_host_or_path() -> None:
    about = environment.describe()
    text = json.dumps(about)
    assert len(environment.usable_cpus()) == about["cores_usable"]
    assert about["memory_bytes"] > 2**20
    assert about["versions"]["numpy"] == np.__version__
    assert str(Path.home()) not in text
    for private in (platform.node(), getpass.getuser()):
        assert f'"{private}"' not in text


@pytest.mark.parametrize(
    ("asked", "threads"), [("1", 1), ("3,2", 3), ("0", None), ("many", None), (None, None)]
)
def test_threads_are_those_that_were_asked_for(
    asked: str | None, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    usable = len(environment.usable_cpus())
    assert environment.describe()["threads"] == (threads or usable)


def test_describing_the_environment_imports_no_framework() -> None:
    code = (
        "import sys; from twofold.results import environment; environment.describe(); "
        "import twofold.timing.measure, twofold.cli.time; "
        "print([m for m in ('torch', 'jax', 'pandas', 'altair') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert environment.package_versions(["no-such-package-here"]) == {"no-such-package-here": None}
