"""What cutting a batch into micro-batches adds to the bounds on its loss and gradients.

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
"""

from __future__ import annotations

from typing import Final

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, rounded, underflow
from twofold.parity.oracle.losses import LossResult

SHARE_ROUNDINGS: Final = 3
FLUSHES: Final = 2  # for each part: its share of a gradient, and the sum so far read as zero


def weighted(result: LossResult, parts: int, arithmetic: Arithmetic) -> LossResult:
    """The loss and its gradient with respect to the logits, computed in `parts` parts."""
    if parts == 1:
        return result
    loss = rounded(result.loss.value, result.loss.bound, SHARE_ROUNDINGS, arithmetic)
    gradient = result.logits_gradient
    gradient = rounded(gradient.value, gradient.bound, SHARE_ROUNDINGS, arithmetic)
    return LossResult(added(loss, parts, arithmetic), gradient)


def added(total: Bounded, parts: int, arithmetic: Arithmetic) -> Bounded:
    """A loss or a gradient whose shares may have been flushed to zero one by one."""
    if parts == 1:
        return total
    flushed = underflow(total.reach, FLUSHES * parts, arithmetic)
    return Bounded(total.value, total.bound + flushed)
