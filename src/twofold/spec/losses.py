"""Losses of a spec; each takes logits and is a mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from twofold.spec.section import Fraction, Positive, Section, Weights


class CrossEntropy(Section):
    """Softmax cross-entropy of logits and integer class labels, mean over the batch.

    With `label_smoothing` e the target distribution q is 1 - e on the label plus e / classes on
    all. With `class_weights` w, one positive number for each class, the loss is the weighted mean

        sum_i sum_c w_c q_ic (-log p_ic) / sum_i w_(label of i),

    the convention of `torch.nn.functional.cross_entropy(weight=w)` with class labels (PyTorch 2.13,
    `aten/src/ATen/native/LossNLL.cpp`): it divides by the sum of the labels' weights, not by the
    number of rows, and smoothing weighs every class by its own weight. (Given probabilities in
    place of labels, PyTorch divides by the number of rows.) Optax has no class weights (0.2.8);
    where JAX code writes `jnp.mean(weights[labels] * loss)` it divides by the number of rows, which
    scales loss and gradients by the mean weight of the batch. PyTorch lets a weight be 0; here it
    is refused, because a batch with that class alone would be 0 / 0.
    """

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Fraction = 0.0
    class_weights: Weights | None = None


class Mse(Section):
    """Squared error, mean over batch and outputs (no factor one half)."""

    kind: Literal["mse"] = "mse"


class Huber(Section):
    """Huber's loss of the error e, mean over batch and outputs.

    e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2): `torch.nn.functional.huber_loss`
    (PyTorch 2.13) and `optax.huber_loss` (Optax 0.2.8) agree. `torch.nn.functional.smooth_l1_loss`
    with beta = delta is this divided by delta. In the gradient Optax adds delta and subtracts it
    again, so that an error far below delta is lost in rounding, where PyTorch keeps it.
    """

    kind: Literal["huber"] = "huber"
    delta: Positive = 1.0


class BceWithLogits(Section):
    """Binary cross-entropy of logits z and targets y in [0, 1], mean over batch and outputs.

    With `pos_weight` p, one positive number for each output, an element's loss is
    -p y log s(z) - (1 - y) log(1 - s(z)), s the sigmoid, and the mean still divides by the number
    of elements: the convention of
    `torch.nn.functional.binary_cross_entropy_with_logits(pos_weight=p)` (PyTorch 2.13).
    `optax.sigmoid_binary_cross_entropy` has none (Optax 0.2.8).
    """

    kind: Literal["bce_with_logits"] = "bce_with_logits"
    pos_weight: Weights | None = None


Loss = Annotated[CrossEntropy | Mse | Huber | BceWithLogits, Field(discriminator="kind")]


def output_weights(loss: Loss) -> tuple[float, ...] | None:
    """The loss's own number for each class or output, if it has them."""
    if loss.kind == "cross_entropy":
        return loss.class_weights
    return loss.pos_weight if loss.kind == "bce_with_logits" else None


def row_weights(loss: Loss, targets: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
    """The weights of rows (batch,) in a loss that is a weighted mean over them, else None."""
    if loss.kind != "cross_entropy" or loss.class_weights is None:
        return None
    weights: npt.NDArray[np.float64] = np.array(loss.class_weights)[targets]
    return weights


def wrong_weights(loss: Loss, outputs: int) -> str | None:
    """What is wrong with the number of a loss's weights, or None."""
    weights = output_weights(loss)
    if weights is None or len(weights) == outputs:
        return None
    field, each = (
        ("class_weights", "class") if loss.kind == "cross_entropy" else ("pos_weight", "output")
    )
    return (
        f"loss.{field}: {len(weights)} given; allowed is {outputs}, one for each {each} "
        f"(model.out_features = {outputs})"
    )
