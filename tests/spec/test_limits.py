"""Specs that no experiment needs: refused with a short SpecError, in a moment."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from twofold.errors import SpecError
from twofold.spec import limits
from twofold.spec.experiment import Experiment

LONGEST_MESSAGE = 25_000  # MOST_ERRORS lines of at most 1,000 characters
TOO_LARGE = {
    "digits": ("seed = " + "9" * 5000, "too many digits"),
    "hexadecimal digits": ("[training]\nepochs = 0x" + "f" * 5000, "a whole number of 20,000 bits"),
    "bits": (f"[training]\nsteps = {2**63}", "training.steps: a whole number of 64 bits given"),
    "lists": ("seed = " + "[" * 3000 + "]" * 3000, "nested too deep; allowed is 64"),
    "tables": ("a = " + "{a=" * 3000 + "1" + "}" * 3000, "nested too deep"),
    "levels": ("seed = " + "[" * 70 + "]" * 70, "nested more than 64 deep"),
    "dotted tables": ("a = " + ("{" + "a." * 20 + "a = ") * 9 + "1" + "}" * 9, "more than 64 deep"),
    "parts of a key": ("a." * 20_000 + "a = 1", "line 1: a key of more than 32 parts"),
    "parts of a table": ("seed = 1\n[" + "'a' . " * 40 + "a]", "line 2: a key of more than 32"),
    "a key": ("a" * 100_000 + " = 1", "a key: a text of 100,000 characters given, 'aaa"),
    "a text": ('[data]\nsource = "' + "a" * 100_000 + '"', "data.source: a text of 100,000"),
    "the whole": ("#" * 1_000_001, "1,000,001 characters given; allowed are at most 1,000,000"),
    "errors": ("\n".join(f"k{i} = 1" for i in range(20_000)), "and 19,980 more"),
}


@pytest.mark.parametrize("kind", TOO_LARGE)
@pytest.mark.timeout(5)
def test_what_is_too_large_is_refused_in_few_words(kind: str) -> None:
    text, words = TOO_LARGE[kind]
    with pytest.raises(SpecError) as caught:
        Experiment.from_toml(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < LONGEST_MESSAGE


@pytest.mark.parametrize(
    "override",
    [
        "seed=" + "9" * 5000,
        "seed=0x" + "f" * 5000,
        "seed=" + "[" * 3000 + "]" * 3000,
        "a." * 20_000 + "a=1",
        "a" * 100_000,
        "device=" + "a" * 100_000,
    ],
    ids=["digits", "hexadecimal", "lists", "parts", "no value", "text"],
)
@pytest.mark.timeout(5)
def test_overrides_have_the_same_limits(override: str) -> None:
    with pytest.raises(SpecError) as caught:
        Experiment.load("digits", [override])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "value",
    [10**5000, -(2**63) - 1, 2**63, [[], 10**5000]],
    ids=["digits", "below 64 bits", "above 64 bits", "in a list"],
)
def test_values_from_python_have_the_same_limits(value: object) -> None:
    with pytest.raises(SpecError, match=r"a whole number of [\d,]+ bits given; allowed are"):
        Experiment().with_values(seed=value)


def test_the_largest_that_is_allowed_is_read_and_written() -> None:
    experiment = Experiment.from_toml(f"[training]\nsteps = {2**63 - 1}")
    assert experiment.training.steps == 2**63 - 1
    assert Experiment.from_toml(experiment.to_toml()) == experiment
    source = "a" * 4092 + ".csv"
    assert Experiment().with_values(data__source=source).data.source == source


def test_dots_that_are_no_dotted_keys_are_read() -> None:
    numbers = ", ".join(["0.5"] * 100)
    text = f"name = 'x'\n# {'.' * 200} {'a. ' * 5}\n[loss]\nkind='mse'\nweights = [{numbers}]"
    limits.require_short(text, "spec")
    assert tomllib.loads(text)["name"] == "x"


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(10**10)  # no byte of it is on the disk
    with pytest.raises(SpecError, match=r"10,000,000,000 bytes given; allowed are at most 4,0"):
        Experiment.load(path)


@pytest.mark.parametrize("name", ["a" * 100_000, "a" * 100_000 + ".toml"], ids=["name", "file"])
def test_a_name_too_long_for_the_system_is_told_in_few_words(name: str) -> None:
    with pytest.raises(SpecError, match=r"File name too long") as caught:
        Experiment.load(name)
    assert len(str(caught.value)) < 200


def test_of_many_names_the_first_are_listed() -> None:
    assert limits.listed("abc") == "a, b, c"
    many = limits.listed(range(100_000))
    assert many.startswith("0, 1, 2")
    assert many.endswith("18, 19, and 99,980 more")
