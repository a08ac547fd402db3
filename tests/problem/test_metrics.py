"""Metrics against scikit-learn, hand-made cases, and inputs that must be refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, r2_score

from twofold.errors import DataError
from twofold.problem import metrics

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(2, 60)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(seeds, sizes, st.integers(2, 7))
def test_accuracy_is_that_of_scikit_learn(seed: int, rows: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)).astype(np.float32)
    labels = rng.integers(0, classes, rows)
    assert metrics.accuracy(logits, labels) == accuracy_score(labels, logits.argmax(axis=1))


@settings(derandomize=True, max_examples=50, deadline=None)
@given(seeds, sizes)
def test_binary_accuracy_is_that_of_scikit_learn(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 1))
    targets = rng.integers(0, 2, (rows, 1)).astype(float)
    probability = 1 / (1 + np.exp(-logits))
    expected = accuracy_score(targets[:, 0], probability[:, 0] > 0.5)
    assert metrics.binary_accuracy(logits, targets) == expected


@settings(derandomize=True, max_examples=50, deadline=None)
@given(seeds, sizes, st.integers(1, 4))
def test_r_squared_is_that_of_scikit_learn(seed: int, rows: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(rows, outputs))
    predictions = targets + rng.normal(size=(rows, outputs))
    assert metrics.r_squared(predictions, targets) == pytest.approx(
        r2_score(targets, predictions), rel=1e-12, abs=1e-12
    )


def test_hand_made_cases() -> None:
    logits = np.array([[1.0, 2.0], [3.0, 3.0], [0.0, -1.0], [5.0, 9.0]])
    assert metrics.accuracy(logits, np.array([1, 0, 1, 1])) == 0.75
    assert metrics.binary_accuracy(np.array([[0.0], [0.1]]), np.array([[0.0], [0.0]])) == 0.5
    # residuals 1, 1, 0; the mean is 5/3, so the total is 25/9 + 1/9 + 16/9
    assert metrics.r_squared(np.array([[1.0], [1.0], [3.0]]), np.array([[0.0], [2.0], [3.0]])) == (
        pytest.approx(1 - 2 / (25 / 9 + 1 / 9 + 16 / 9))
    )


@pytest.mark.parametrize(
    ("loss", "metric"),
    [("cross_entropy", "accuracy"), ("bce_with_logits", "accuracy"), ("mse", "R^2")],
)
def test_each_loss_has_its_metric(loss: metrics.LossName, metric: str) -> None:
    assert metrics.METRIC_OF_LOSS[loss] == metric


def test_metric_of_picks_by_loss() -> None:
    logits = np.array([[-2.0, 1.0], [4.0, -3.0]])
    assert metrics.metric_of("cross_entropy", logits, np.array([1, 1])) == 0.5
    targets = np.array([[0.0, 1.0], [1.0, 1.0]])
    assert metrics.metric_of("bce_with_logits", logits, targets) == 0.75
    assert metrics.metric_of("mse", targets[:, :1], targets[:, :1]) == 1.0


def test_baselines_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    train, test = rng.integers(0, 3, 40), rng.integers(0, 3, 30)
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((40, 1)), train)
    assert metrics.baseline_of("cross_entropy", train, test) == dummy.score(np.zeros((30, 1)), test)
    binary_train, binary_test = (train == 0) * 1.0, (test == 0) * 1.0
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((40, 1)), binary_train)
    assert metrics.baseline_of(
        "bce_with_logits", binary_train[:, None], binary_test[:, None]
    ) == dummy.score(np.zeros((30, 1)), binary_test)
    real_train, real_test = rng.normal(size=(40, 1)), rng.normal(size=(30, 1))
    dummy = DummyRegressor().fit(np.zeros((40, 1)), real_train)
    assert metrics.baseline_of("mse", real_train, real_test) == pytest.approx(
        dummy.score(np.zeros((30, 1)), real_test)
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    logits = np.array([[1.0, 2.0], [bad, 0.0]])
    with pytest.raises(DataError, match=r"logits\[1\]"):
        metrics.accuracy(logits, np.array([0, 1]))
    with pytest.raises(DataError, match=r"logits\[1\]"):
        metrics.r_squared(logits, np.ones((2, 2)))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"targets: shape \(2, 1\)"):
        metrics.accuracy(np.zeros((2, 3)), np.zeros((2, 1), dtype=int))
    with pytest.raises(DataError, match=r"targets: shape \(2,\)"):
        metrics.binary_accuracy(np.zeros((2, 1)), np.zeros(2))
    with pytest.raises(DataError, match="logits: shape"):
        metrics.accuracy(np.zeros((0, 3)), np.zeros(0, dtype=int))


def test_r_squared_of_equal_targets_is_refused() -> None:
    with pytest.raises(DataError, match="all equal"):
        metrics.r_squared(np.zeros((3, 1)), np.full((3, 1), 0.1))
