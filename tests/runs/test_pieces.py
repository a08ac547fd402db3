"""Where calls are cut: a run that goes on makes the calls that one without a stop makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.runs.pieces import Piece, is_boundary, pieces
from twofold.spec.experiment import Experiment


def problem(batch_size: int, epochs: int) -> Problem:
    """20 training rows."""
    values = {"data__rows": 25, "data__batch_size": batch_size, "training__epochs": epochs}
    return prepare(Experiment().with_values(**values, data__test_fraction=0.2))


def test_calls_end_with_epochs_and_at_multiples() -> None:
    given_ = problem(batch_size=4, epochs=2)  # 5 steps an epoch
    assert list(pieces(given_, 0, 3)) == [
        Piece(3, 1, 3, False),
        Piece(2, 1, 5, True),
        Piece(1, 2, 6, False),
        Piece(3, 2, 9, False),
        Piece(1, 2, 10, True),
    ]
    assert [piece.steps for piece in pieces(given_, 0, None)] == [5, 5]
    assert list(pieces(given_, 10, None)) == []


def test_a_training_that_ends_within_an_epoch() -> None:
    by_steps = prepare(
        Experiment().with_values(data__rows=25, data__batch_size=4, training__epochs=2)
    ).experiment.with_values(training={"steps": 7})
    given_ = prepare(by_steps)
    assert [(piece.after, piece.ends_epoch) for piece in pieces(given_, 0, None)][-1] == (7, True)


@given(st.integers(1, 20), st.integers(1, 4), st.none() | st.integers(1, 30))
def test_from_every_boundary_the_calls_are_those_of_the_whole(
    batch_size: int, epochs: int, every: int | None
) -> None:
    given_ = problem(batch_size, epochs)
    whole = list(pieces(given_, 0, every))
    assert sum(piece.steps for piece in whole) == given_.total_steps
    boundaries = {piece.after for piece in whole}
    for taken in range(1, given_.total_steps + 1):
        assert is_boundary(given_, taken, every) == (taken in boundaries)
    for number, piece in enumerate(whole):
        assert list(pieces(given_, piece.after, every)) == whole[number + 1 :]


@pytest.mark.parametrize("every", [1, 5, None])
def test_no_call_takes_nothing(every: int | None) -> None:
    assert all(piece.steps > 0 for piece in pieces(problem(3, 2), 0, every))
