"""Batch normalization with bounds, and how its running statistics move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, Given, as_bounded, multiply, underflow
from twofold.parity.oracle.layers.applied import Applied, BatchStatistics, Pass, Pulled
from twofold.parity.oracle.layers.normalization import (
    Statistics,
    affine_of,
    input_gradient,
    normalized,
    parameter_gradients,
    statistics_of,
)
from twofold.spec.layers.batch_norm import RUNNING_MEAN, RUNNING_VARIANCE, BatchNorm
from twofold.spec.layers.sequence import Placed, every

# Of the two products and their sum; the variance has a factor n / (n - 1) besides.
AVERAGE_ROUNDINGS: Final = 4
UNBIASED_ROUNDINGS: Final = 3
# PyTorch's weights are m and 1 - m, on the CPU with m rounded to the parameters' precision before
# the subtraction, which leaves 1 - m off by a unit roundoff of m. Flax's are the float64 numbers
# 1 - m and 1 - (1 - m), each off by two units roundoff of one at most.
WEIGHT_ERROR: Final = float(np.finfo(np.float64).eps)


def batch_norm(placed: Placed, inputs: Bounded, given: Pass) -> Applied:
    """Each feature by the batch's mean and variance in training, by the buffers in evaluation."""
    layer, arithmetic = placed.layer, given.arithmetic
    assert isinstance(layer, BatchNorm)
    assert placed.number is not None
    weight_name, bias_name = placed.named("weight"), placed.named("bias")
    weight = as_bounded(given.parameters[weight_name], arithmetic)
    bias = as_bounded(given.parameters[bias_name], arithmetic)
    of_batch: dict[int, BatchStatistics] = {}
    if given.masks is None:
        mean = as_bounded(given.buffers[placed.named(RUNNING_MEAN)], arithmetic)
        variance = as_bounded(given.buffers[placed.named(RUNNING_VARIANCE)], arithmetic)
        statistics = Statistics(mean, variance)
    else:
        statistics = statistics_of(inputs, 0, arithmetic)  # (1, features)
        mean, variance = statistics.mean, statistics.variance
        rows = inputs.value.shape[0]
        of_batch[placed.number] = BatchStatistics(_row(mean), _row(variance), rows)
    x = normalized(inputs, statistics, layer.eps, 0, arithmetic)

    def pull(delta: Bounded, inputs_wanted: bool) -> Pulled:
        of_weight, of_bias = parameter_gradients(x, delta, arithmetic)
        gradients = {weight_name: of_weight, bias_name: of_bias}
        if not inputs_wanted:
            return Pulled(None, gradients)
        return Pulled(input_gradient(x, multiply(delta, weight, arithmetic), arithmetic), gradients)

    return Applied(affine_of(x, weight, bias, arithmetic), pull, of_batch)


def buffers_after(
    layers: Sequence[Placed],
    buffers: Given,
    statistics: Mapping[int, BatchStatistics],
    arithmetic: Arithmetic,
    *,
    biased_variance: bool = False,
) -> dict[str, Bounded]:
    """The running statistics after a step that saw these batch statistics, by canonical name.

    They average the unbiased variance, or with `biased_variance` the biased one.
    """
    after: dict[str, Bounded] = {}
    for placed in every(layers):
        if not isinstance(placed.layer, BatchNorm):
            continue
        assert placed.number is not None
        seen = statistics[placed.number]
        factor = 1.0 if biased_variance else seen.rows / (seen.rows - 1)
        names = (placed.named(RUNNING_MEAN), placed.named(RUNNING_VARIANCE))
        for name, new, times in zip(names, (seen.mean, seen.variance), (1.0, factor), strict=True):
            before = as_bounded(buffers[name], arithmetic)
            after[name] = _averaged(before, new, times, placed.layer.momentum, arithmetic)
    return after


def _averaged(
    before: Bounded, new: Bounded, times: float, momentum: float, arithmetic: Arithmetic
) -> Bounded:
    """(1 - momentum) before + momentum times new, with `times` a quotient of whole numbers."""
    kind = arithmetic.oracle_dtype.type
    weight, rest = kind(momentum), kind(1) - kind(momentum)
    share = weight * kind(times)
    value = rest * before.value + share * new.value
    inherited = float(rest) * before.bound + float(share) * new.bound
    sizes = float(rest) * before.reach + float(share) * new.reach
    own = arithmetic.gamma(AVERAGE_ROUNDINGS + UNBIASED_ROUNDINGS) * sizes
    own = own + arithmetic.unit_roundoff * momentum * before.reach
    own = own + WEIGHT_ERROR * (before.reach + times * new.reach)
    return Bounded(value, inherited + own + underflow(sizes, 4, arithmetic))


def _row(array: Bounded) -> Bounded:
    return Bounded(array.value[0], array.bound[0])
