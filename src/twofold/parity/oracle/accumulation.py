"""What cutting a batch into parts adds to the bounds on its loss and gradients.

The parts are micro-batches, one after the other, or the rows of several processes.

The values are those of the whole batch. An engine computes sum_i s_i m_i, where m_i is the mean
over the n_i rows of part i and s_i = n_i / n its share of all n rows, and differs in two ways.

The sum. Every entry is a sum over rows. Summed by parts, a row's term passes through at most
n_i - 1 additions in its own part and k - 1 of the k parts. No part is empty, so
n_i <= n - (k - 1), and these are n - 1 at most: adding up by parts is one of the orders of
summation that gamma_{n-1} already covers (Higham, section 3.1), and the mean's division by n_i
rounds as often as that by n.

The share. s_i is rounded when n_i is divided by n and again when it is brought to the engine's
precision; multiplying by it rounds once more. These three roundings may come anywhere between the
loss and the gradient: `(loss * share).backward()` multiplies the logits' gradient, `share *
gradient` the end. Counted at the logits' gradient they cover both, for what follows is linear in
it: a factor (1 + d) on it is the same factor on the end, and makes each bound on the way larger.
Nothing else is allowed: a share that is wrong by one row in n is off by 1 / n_i, not by some
rounding errors.

With class weights a part's mean is divided by the sum of its labels' weights, and its share is that
sum by the sum of the whole batch: beside the latter, which the loss of the whole batch counts too,
two sums of n_i positive numbers, n_i roundings each at most.

Processes. An all-reduce adds what k processes have, in an order of its own, which may be another
for each element: k - 1 additions, as above. One that takes their mean is given k s_i for a share;
that k stands in the numerator of the share and is an integer, so it rounds nothing by itself. The
mean multiplies by 1 / k: rounded when 1 is divided by k, brought to the engine's precision, and
multiplied, which are MEAN_ROUNDINGS (PyTorch 2.13, torch/csrc/distributed/c10d/reducer.cpp:
`mark_variable_ready_dense` multiplies each gradient by 1 / world size before the sum). A process
for which a batch has no row adds zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, rounded, underflow
from twofold.parity.oracle.losses import LossResult
from twofold.problem.micro_batches import Part
from twofold.spec.losses import Loss

SHARE_ROUNDINGS: Final = 3
MEAN_ROUNDINGS: Final = 3
FLUSHES: Final = 2  # for each part: its share of a gradient, and the sum so far read as zero


def share_roundings(loss: Loss, parts: Sequence[Part], processes: int) -> int:
    """How often the share of a part may be rounded; the first part is the largest.

    Where several processes have the parts, the mean over these is counted as well.
    """
    weighted = loss.kind == "cross_entropy" and loss.class_weights is not None
    of_share = SHARE_ROUNDINGS + (2 * parts[0].stop if weighted else 0)
    return of_share + (MEAN_ROUNDINGS if processes > 1 else 0)


def weighted(result: LossResult, parts: int, roundings: int, arithmetic: Arithmetic) -> LossResult:
    """The loss and its gradient with respect to the logits, computed in `parts` parts.

    `roundings` are those of a part's share.
    """
    if parts == 1:
        return result
    loss = rounded(result.loss.value, result.loss.bound, roundings, arithmetic)
    gradient = result.logits_gradient
    gradient = rounded(gradient.value, gradient.bound, roundings, arithmetic)
    return LossResult(added(loss, parts, arithmetic), gradient)


def added(total: Bounded, parts: int, arithmetic: Arithmetic) -> Bounded:
    """A loss or a gradient whose shares may have been flushed to zero one by one."""
    if parts == 1:
        return total
    flushes = FLUSHES + (1 if arithmetic.processes > 1 else 0)  # and its part of the mean
    flushed = underflow(total.reach, flushes * parts, arithmetic)
    return Bounded(total.value, total.bound + flushed)
