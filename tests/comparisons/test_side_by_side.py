"""Every topic runs, alone and on the page, and its comparison can fail."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import comparisons.atlas.side_by_side as side_by_side
from comparisons import side_by_side as __main__
from comparisons.atlas.side_by_side import NAMES, load
from comparisons.atlas.side_by_side.page import page
from comparisons.atlas.side_by_side.terminal import print_topic
from comparisons.atlas.side_by_side.topic import Different, Topic, shared_source, source_of

FOLDER = Path(side_by_side.__file__).parent
NOT_TOPICS = {"__init__", "__main__", "page", "terminal", "topic"}


def test_every_topic_file_is_listed_once() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - NOT_TOPICS
    assert sorted(files) == sorted(NAMES)
    assert len(set(NAMES)) == len(NAMES) == 15


@pytest.mark.parametrize("name", NAMES)
def test_topic_gives_what_it_says(name: str) -> None:
    values = load(name).run()
    assert all(len(column) >= 2 for column in values.values())


@pytest.mark.parametrize("name", NAMES)
def test_columns_use_only_their_own_library(name: str) -> None:
    topic = load(name)
    assert "torch" in source_of(topic.pytorch)
    assert (
        "jnp" in source_of(topic.jax)
        or "jax" in source_of(topic.jax)
        or "nnx" in source_of(topic.jax)
    )
    assert "jnp." not in source_of(topic.pytorch)
    assert "torch." not in source_of(topic.jax)
    if topic.numpy is not None:
        assert "torch." not in source_of(topic.numpy)
        assert "jnp." not in source_of(topic.numpy)


@pytest.mark.parametrize("name", NAMES)
def test_topic_has_every_listed_difference(name: str) -> None:
    for what, known in load(name).different.items():
        given = [known.pytorch, known.jax] + ([known.numpy] if known.numpy is not None else [])
        texts = {repr(np.asarray(value).tolist()) for value in given}
        assert len(texts) > 1, f"{name}, {what}: listed as different, but all are {texts}"


def sides(pytorch: object, jax: object, **different: Different) -> Topic:
    return Topic("Title", "About.", lambda: {"a": pytorch}, lambda: {"a": jax}, different=different)


def test_equal_values_pass_and_others_do_not() -> None:
    sides([1.0, 2.0], [1.0, 2.0]).run()
    with pytest.raises(AssertionError, match="Title, a: jax"):
        sides([1.0, 2.0], [1.0, 2.001]).run()
    with pytest.raises(AssertionError, match="shape"):
        sides([1.0], 1.0).run()
    with pytest.raises(AssertionError, match="jax"):
        sides(3, 4).run()
    with pytest.raises(AssertionError, match="'y'"):
        sides("x", "y").run()
    with pytest.raises(AssertionError, match="jax"):
        sides(1.0, float("nan")).run()


def test_a_difference_must_be_the_one_listed() -> None:
    sides(1.0, 2.0, a=Different("why", pytorch=1.0, jax=2.0)).run()
    with pytest.raises(AssertionError, match="jax"):
        sides(1.0, 1.0, a=Different("why", pytorch=1.0, jax=2.0)).run()
    with pytest.raises(AssertionError, match="no such values"):
        sides(1.0, 1.0, b=Different("why", pytorch=1.0, jax=2.0)).run()


def test_columns_must_name_the_same_values() -> None:
    topic = dataclasses.replace(sides(1, 1), jax=lambda: {"b": 1})
    with pytest.raises(AssertionError, match="different values"):
        topic.run()


def test_page_shows_the_source_that_ran() -> None:
    topic = load("autograd")
    text = page({"autograd": topic})
    assert source_of(topic.pytorch) in text
    assert source_of(topic.jax) in text
    assert shared_source(topic) in text
    assert "TOPIC" not in shared_source(topic)
    assert "| gradient at 3 | `8.` | `8.` | `8.` | same |" in text
    assert "[Autograd](#autograd)" in text


def test_page_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "PAGE.md"
    assert __main__.main(["losses", "--page", str(path)]) == 0
    assert "## Losses" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_topic_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        __main__.main(["tensor"])
    assert stop.value.code == 2
    assert "'tensor' given; allowed is one of tensors" in capsys.readouterr().err


def test_committed_page_shows_the_present_source() -> None:
    text = (FOLDER.parents[1] / "SIDE_BY_SIDE.md").read_text(encoding="utf-8")
    for name in NAMES:
        topic = load(name)
        for column in topic.columns.values():
            assert source_of(column) in text, f"{name} changed: make the page again"


def test_terminal_shows_both_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_topic(load("tensors"), sys.stdout)
    shown = capsys.readouterr().out
    assert "PyTorch" in shown
    assert "mean of columns" in shown


def test_a_topic_runs_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "comparisons.atlas.side_by_side.autograd"],
        cwd=FOLDER.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "gradient at 3" in done.stdout


def test_modules_name_their_topic() -> None:
    for name in NAMES:
        module = importlib.import_module(f"comparisons.atlas.side_by_side.{name}")
        assert module.__doc__
        assert isinstance(module.TOPIC, Topic)
