"""Frameworks without a cache on disk of their own keep what they compile, in a command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from twofold import cache
from twofold.backends import programs
from twofold.backends.installed import backend
from twofold.backends.programs import keep_programs, programs_folder

FOLDER = "JAX_COMPILATION_CACHE_DIR"
LEAST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


@pytest.fixture
def without_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a person who has set nothing; the cache folder is in `tmp_path`."""
    for name in [name for name in os.environ if name.startswith("JAX_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(programs, "cache_folder", lambda: tmp_path / "cache")
    # Set and deleted, so that what a test sets is taken back.
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.delenv(FOLDER)
    return tmp_path / "cache"


def test_jax_gets_a_folder_and_keeps_every_program(without_cache: Path) -> None:
    before = dict(os.environ)
    try:
        keep_programs(backend("flax"))
        assert Path(os.environ[FOLDER]).parent == programs_folder()
        assert programs_folder().is_dir()
        assert without_cache in programs_folder().parents
        assert os.environ[LEAST] == "0"
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_a_folder_that_somebody_chose_stays(
    without_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, "/chosen")
    keep_programs(backend("flax"))
    assert os.environ[FOLDER] == "/chosen"
    assert LEAST not in os.environ
    assert not without_cache.exists()


def test_a_framework_with_a_cache_of_its_own_gets_none(without_cache: Path) -> None:
    keep_programs(backend("torch"))
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    assert not without_cache.exists()


def test_without_a_place_nothing_is_kept(without_cache: Path) -> None:
    without_cache.write_text("a file where the folder would be")
    keep_programs(backend("flax"))
    assert FOLDER not in os.environ


def test_who_has_no_home_keeps_nothing(
    without_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(programs, "cache_folder", homeless)
    keep_programs(backend("flax"))
    assert FOLDER not in os.environ
    assert not without_cache.exists()


def test_each_kind_of_processor_has_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    here = programs_folder()
    assert programs_folder() == here
    monkeypatch.setattr(programs, "processor_kind", lambda: "another")
    assert programs_folder().parent == here.parent
    assert programs_folder() != here


def test_a_processor_is_told_by_what_it_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = set()
    for flags in ("avx2", "avx2 avx512f"):
        text = f"processor\t: 0\nmodel name\t: X 1\nflags\t\t: {flags}\ncpu MHz\t\t: 2000\n\n"
        (tmp_path / "cpuinfo").write_text(text + text.replace("X 1", "Y 2"))
        monkeypatch.setattr(cache, "CPUINFO", tmp_path / "cpuinfo")
        cache.processor_kind.cache_clear()
        told.add(cache.processor_kind())
    cache.processor_kind.cache_clear()
    assert len(told) == 2
    assert all("X 1" in each and "Y 2" not in each and "MHz" not in each for each in told)


def test_a_processor_of_which_linux_says_nothing_is_told_by_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CPUINFO", tmp_path / "absent")
    monkeypatch.setattr(platform, "processor", lambda: "Some Chip")
    cache.processor_kind.cache_clear()
    told = cache.processor_kind()
    cache.processor_kind.cache_clear()
    assert told == f"{platform.machine()} {platform.system()} Some Chip"


@pytest.mark.slow
def test_a_second_command_in_jax_finds_its_programs_whatever_became_of_them(
    tmp_path: Path,
) -> None:
    """Found, cut short or empty: the model has the same bits each time."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    variables["XDG_CACHE_HOME"] = str(tmp_path / "cache")

    said: list[str] = []

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "twofold", *words]
        done = subprocess.run(line, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    def model(name: str) -> dict[str, bytes]:
        run = tmp_path / name
        words = ["train", "diabetes", "--engine", "flax:scan", "--output", str(run)]
        done = command(*words, "--set", "training.epochs=2", "--set", "device=cpu")
        said.append(done.stderr)
        tensors = load_file(run / "model.safetensors")
        return {each: array.tobytes() for each, array in tensors.items()}

    def kept() -> list[Path]:
        found = (tmp_path / "cache").glob("twofold/programs/*/jax/*-cache")
        return sorted(found)

    first, after_first = model("first"), kept()
    assert after_first
    whole = {path: path.read_bytes() for path in after_first}
    assert model("second") == first
    assert kept() == after_first
    for path in after_first:
        path.write_bytes(whole[path][: len(whole[path]) // 2])
    assert model("third") == first
    for path in after_first:
        path.write_bytes(b"")
    assert model("fourth") == first
    assert "UserWarning" not in said[0] + said[1]
    assert "cache entry for 'jit_loop'" in said[2]  # JAX says so, compiles, and leaves the file

    for path in after_first:
        path.unlink()
    answer = ("evaluate", str(tmp_path / "first" / "model.safetensors"))
    score, of_answers = command(*answer).stdout, kept()
    assert of_answers  # what answers compile is kept as well
    assert command(*answer).stdout == score
    assert kept() == of_answers
