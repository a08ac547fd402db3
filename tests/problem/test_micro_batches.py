"""Cutting a batch into parts, and the field of the spec that asks for it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from twofold import Experiment
from twofold.cli.app import app
from twofold.errors import SpecError
from twofold.problem.micro_batches import Part, parts_of
from twofold.spec import toml


def test_seven_rows_in_three_parts() -> None:
    assert parts_of(7, 3) == (Part(0, 3, 3 / 7), Part(3, 5, 2 / 7), Part(5, 7, 2 / 7))


def test_fewer_rows_than_parts() -> None:
    assert parts_of(2, 5) == (Part(0, 1, 0.5), Part(1, 2, 0.5))
    assert parts_of(1, 5) == (Part(0, 1, 1.0),)


@given(st.integers(1, 600), st.integers(1, 600))
def test_parts_are_those_of_array_split_and_none_is_empty(rows: int, micro_batches: int) -> None:
    parts = parts_of(rows, micro_batches)
    numbers = np.arange(rows)
    split = [part for part in np.array_split(numbers, micro_batches) if len(part)]
    assert len(parts) == min(rows, micro_batches) == len(split)
    for part, expected in zip(parts, split, strict=True):
        np.testing.assert_array_equal(numbers[part.rows], expected)
        assert part.share == float(Fraction(len(expected), rows))


def test_an_experiment_has_one_part_unless_told_otherwise() -> None:
    assert Experiment().training.micro_batches == 1
    assert Experiment.load("lesson").training.micro_batches == 1


def test_micro_batches_survive_a_round_trip() -> None:
    experiment = Experiment.load("lesson", ("training.micro_batches=3",))
    assert "micro_batches = 3" in experiment.to_toml()
    assert Experiment.from_toml(experiment.to_toml()) == experiment
    assert experiment.with_values(training__steps=5).training.micro_batches == 3


def test_the_schema_names_micro_batches() -> None:
    field = toml.json_schema(Experiment)["$defs"]["Training"]["properties"]["micro_batches"]
    assert (field["type"], field["minimum"], field["default"]) == ("integer", 1, 1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.micro_batches=0", r"training\.micro_batches: 0 given; allowed is .*1 or more"),
        ("training.micro_batches=2.5", r"training\.micro_batches: 2\.5 given"),
        (
            "training.micro_batches=65",
            r"training\.micro_batches: 65 given; allowed is 1 to data\.batch_size = 64",
        ),
    ],
)
def test_what_does_not_fit_is_refused(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Experiment.load("lesson", (override,))


def test_show_says_how_batches_are_cut() -> None:
    cut = CliRunner().invoke(app, ["show", "lesson", "--set", "training.micro_batches=3"])
    assert cut.exit_code == 0
    assert "# batches of 64 rows in 3 parts of 22 or fewer" in cut.output
    assert "parts of" not in CliRunner().invoke(app, ["show", "lesson"]).output


def test_shares_of_weights_by_hand() -> None:
    """Rows of weight 1, 1, 2 and 4: parts of 2 and 6 of 8."""
    weights = np.array([1.0, 1.0, 2.0, 4.0])
    assert parts_of(4, 2, weights) == (Part(0, 2, 0.25), Part(2, 4, 0.75))
    assert parts_of(4, 2, 3.0 * np.ones(4)) == parts_of(4, 2)
