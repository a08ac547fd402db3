"""Losses of both backends: by hand, against each other, and against what the frameworks lack."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax
from twofold_jax.loss import build_loss as flax_loss
from twofold_torch.loss import build_loss as torch_loss

from twofold.spec.losses import BceWithLogits, CrossEntropy, Huber, Loss

Array = np.ndarray[Any, Any]
BACKENDS = ("torch", "flax")


def evaluated(backend: str, loss: Loss, logits: Array, targets: Array) -> tuple[float, Array]:
    """A backend's loss in float64 and its gradient with respect to the logits."""
    if backend == "torch":
        z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        value = torch_loss(loss, torch.float64, torch.device("cpu"))(z, torch.tensor(targets))
        value.backward()
        assert z.grad is not None
        return value.item(), z.grad.numpy()
    with jax.enable_x64(True):
        function = flax_loss(loss, jnp.dtype("float64"))
        given = jnp.asarray(logits), jnp.asarray(targets)
        value, slope = jax.value_and_grad(function)(*given)
        return float(value), np.asarray(slope)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_weighted_mean_by_hand(backend: str) -> None:
    """Even odds of two classes: every row loses log 2, and any weighted mean is log 2."""
    loss = CrossEntropy(class_weights=(1.0, 3.0))
    logits, labels = np.zeros((2, 2)), np.array([0, 1])
    value, slope = evaluated(backend, loss, logits, labels)
    assert value == pytest.approx(np.log(2), rel=1e-15)
    # p - q is (-1/2, 1/2) and (1/2, -1/2), times 1/4 and 3/4: divided by 1 + 3, not by 2 rows.
    np.testing.assert_allclose(slope, [[-1 / 8, 1 / 8], [3 / 8, -3 / 8]], rtol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_smoothing_weighs_every_class_by_its_own(backend: str) -> None:
    """One row of class 0: (1 - e) w_0 l_0 + e / 2 (w_0 l_0 + w_1 l_1), divided by w_0."""
    loss = CrossEntropy(class_weights=(2.0, 6.0), label_smoothing=0.2)
    logits = np.array([[1.0, -0.5]])
    first, second = -log_softmax(logits[0])
    value, _ = evaluated(backend, loss, logits, np.array([0]))
    expected = (0.8 * 2 * first + 0.1 * (2 * first + 6 * second)) / 2
    assert value == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_weight_of_positives_by_hand(backend: str) -> None:
    """Logits of zero: log 2 for each element, three times that where the target is one."""
    loss = BceWithLogits(pos_weight=(3.0, 5.0))
    targets = np.array([[1.0, 0.0], [0.5, 1.0]])
    value, slope = evaluated(backend, loss, np.zeros((2, 2)), targets)
    assert value == pytest.approx(np.log(2) * (3 + 1 + (1.5 + 0.5) + 5) / 4, rel=1e-15)
    expected = np.array([[-1.5, 0.5], [0.25 - 0.75, -2.5]]) / 4
    np.testing.assert_allclose(slope, expected, rtol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_hubers_loss_by_hand(backend: str) -> None:
    """delta 2; errors 1, 2, 3 and -4: 1/2, 2, 2 (3 - 1) = 4 and 2 (4 - 1) = 6."""
    logits, targets = np.array([[1.0, 2.0], [3.0, -4.0]]), np.zeros((2, 2))
    value, slope = evaluated(backend, Huber(delta=2.0), logits, targets)
    assert value == (0.5 + 2 + 4 + 6) / 4
    np.testing.assert_array_equal(slope, np.array([[1, 2], [2, -2]]) / 4)


RANDOM = np.random.default_rng(4)
LOGITS, LABELS = 3 * RANDOM.standard_normal((9, 4)), RANDOM.integers(0, 4, 9)
SHARES = RANDOM.random((9, 4))
LOSSES: list[tuple[Loss, Array]] = [
    (CrossEntropy(class_weights=(0.1, 1.0, 2.0, 30.0)), LABELS),
    (CrossEntropy(class_weights=(0.1, 1.0, 2.0, 30.0), label_smoothing=0.3), LABELS),
    (BceWithLogits(pos_weight=(0.1, 1.0, 2.0, 30.0)), SHARES),
    (Huber(delta=0.7), SHARES),
]


@pytest.mark.parametrize(("loss", "targets"), LOSSES, ids=lambda each: getattr(each, "kind", ""))
def test_both_backends_agree_and_gradients_are_the_loss_s_own(loss: Loss, targets: Array) -> None:
    values, slopes = zip(*(evaluated(b, loss, LOGITS, targets) for b in BACKENDS), strict=True)
    assert values[0] == pytest.approx(values[1], rel=1e-14)
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-12, atol=1e-16)
    h = 1e-5
    for index in ((0, 0), (3, 2), (8, 3)):
        moved = np.zeros_like(LOGITS)
        moved[index] = h
        above, below = (evaluated("torch", loss, LOGITS + s * moved, targets)[0] for s in (1, -1))
        assert slopes[0][index] == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-9)


def test_smooth_l1_is_huber_divided_by_delta() -> None:
    """As the docstring of the spec says, in PyTorch's own functions."""
    z, y = torch.tensor(LOGITS), torch.tensor(SHARES)
    for delta in (0.25, 1.0, 3.0):
        smooth, huber = F.smooth_l1_loss(z, y, beta=delta), F.huber_loss(z, y, delta=delta)
        assert smooth.item() == pytest.approx(huber.item() / delta, rel=1e-14)


def test_optax_loses_small_errors_in_hubers_gradient() -> None:
    """delta + (e - delta) in float32: an error of 1e-9 is gone, where PyTorch keeps it."""
    optaxs = jax.grad(lambda e: optax.huber_loss(e, jnp.float32(0), delta=1.0))
    assert float(optaxs(jnp.float32(1e-9))) == 0.0
    error = torch.tensor([1e-9], requires_grad=True)
    F.huber_loss(error, torch.zeros(1)).backward()
    assert error.grad is not None
    assert error.grad.item() == pytest.approx(1e-9, rel=1e-6)


def test_pytorch_divides_by_rows_where_targets_are_probabilities() -> None:
    """As the docstring of the spec says: the labels' weights are divided by for labels alone."""
    z, weights = torch.tensor(LOGITS), torch.tensor([0.1, 1.0, 2.0, 30.0], dtype=torch.float64)
    labels = torch.tensor(LABELS)
    hot = F.one_hot(labels, 4).double()
    by_labels = F.cross_entropy(z, labels, weight=weights)
    by_rows = F.cross_entropy(z, hot, weight=weights)
    ratio = weights[labels].sum().item() / len(LABELS)
    assert by_rows.item() == pytest.approx(by_labels.item() * ratio, rel=1e-12)
    assert abs(ratio - 1) > 0.1
