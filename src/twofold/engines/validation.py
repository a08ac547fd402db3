"""The validation rows of a training: which epoch is the best, and when no more are trained.

The loss of the validation rows is measured at the end of each epoch, in evaluation mode. The best
epoch is the one with the least, the first of several; the training stops after `training.patience`
epochs in a row that are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from twofold.engines.parts import Held
from twofold.engines.session import Session
from twofold.problem.micro_batches import parts_of
from twofold.problem.problem import Batch
from twofold.problem.row_maps import let_go
from twofold.spec.losses import row_weights

CHUNK_ROWS: Final = 1024


@dataclass(frozen=True)
class Validation:
    """What became of the validation rows: the epoch whose state was kept, counted from 1.

    `step` is the number of steps taken at its end, `loss` its loss on the `rows`. `stopped` says
    whether the training ended for lack of patience, before its last epoch.
    """

    epoch: int
    step: int
    loss: float
    rows: int
    stopped: bool


def validation_loss(session: Session, rows: Batch) -> float:
    """The loss of all rows in evaluation mode, computed in chunks of about CHUNK_ROWS or fewer."""
    weights = row_weights(session.problem.experiment.loss, rows.targets)
    parts = parts_of(rows.rows, -(-rows.rows // CHUNK_ROWS), weights)
    loss = 0.0
    for part in parts:
        loss += part.share * session.loss(Batch(rows.inputs[part.rows], rows.targets[part.rows]))
        let_go(rows.inputs)
    return loss


def best_of(losses: Sequence[float]) -> int:
    """The place of the least loss, the first of several, counted from 0."""
    return int(np.argmin(losses))


def is_over(losses: Sequence[float], patience: int | None) -> bool:
    """Whether the last `patience` losses are none better than the best before them."""
    return patience is not None and len(losses) - 1 - best_of(losses) >= patience


@final
class Watch:
    """The validation losses of a session's training, an epoch each, and the state of the best one.

    A training that goes on gives the losses before, and the state that was the best by them.
    """

    def __init__(
        self, session: Session, losses: Sequence[float] = (), best: Held | None = None
    ) -> None:
        self._session = session
        self._rows = session.problem.validation
        self._patience = session.problem.experiment.training.patience
        self.losses = list(losses)
        self.best = best

    def measure(self) -> float | None:
        """The loss at the end of an epoch, None without validation rows; keeps the best state.

        A loss that is not finite is told and not kept: there the training ends.
        """
        if self._rows is None:
            return None
        loss = validation_loss(self._session, self._rows)
        if np.isfinite(loss):
            self.losses.append(loss)
            if best_of(self.losses) == len(self.losses) - 1:
                self.best = self._session.keep()
        return loss

    @property
    def is_over(self) -> bool:
        """Whether the training has run out of patience."""
        return bool(self.losses) and is_over(self.losses, self._patience)

    def restore(self) -> None:
        """Put the best state into the session."""
        if self.best is not None and self.best.step != self._session.held().step:
            self._session.go_back(self.best)
