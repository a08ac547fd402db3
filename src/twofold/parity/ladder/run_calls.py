"""Calls of an engine's `run`: what goes in, what comes out, and of which shorter calls it is made.

An engine may take several steps by other code than one step: a graph of four steps, a loop on the
device. Where a long call gives the same bits as shorter ones in a row, these stand for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twofold.engines.session import Session
from twofold.parity.judging.comparison import Comparison, compare_exactly
from twofold.problem.state import Array, TrainState


@dataclass(frozen=True)
class Call:
    """One call of `run`: the state before, the losses (steps,) that it told, the state after."""

    before: TrainState
    steps: int
    losses: Array
    after: TrainState

    @property
    def fault(self) -> str | None:
        """What is wrong with the count of losses or of steps, if anything is."""
        if self.losses.shape != (self.steps,):
            return f"losses: shape {self.losses.shape} given, ({self.steps},) expected"
        if self.after.step != self.before.step + self.steps:
            return f"step: {self.after.step} after {self.steps} steps from {self.before.step}"
        return None

    @property
    def name(self) -> str:
        """Its steps in words, counted from 1."""
        return f"steps {self.before.step + 1} to {self.before.step + self.steps}"


def called(session: Session, before: TrainState, steps: int) -> Call:
    """Load a state and take `steps` steps from it in one call."""
    session.load_state(before)
    losses = np.asarray(session.run(steps), session.problem.dtype)
    return Call(before, steps, losses, session.state())


def in_a_row(calls: Sequence[Call]) -> Call:
    """Calls, each from the state after the one before, as one."""
    losses = np.concatenate([call.losses for call in calls])
    steps = sum(call.steps for call in calls)
    return Call(calls[0].before, steps, losses, calls[-1].after)


def same_bits(call: Call, other: Call) -> Comparison:
    """Whether all losses and everything in the state after are equal, bit for bit."""
    return compare_exactly(_outcome(call), _outcome(other))


def pieces(session: Session, call: Call) -> list[Call]:
    """The shortest calls in a row, taken now, that give the same bits; the call itself if none do.

    The outcome of the call is then theirs: what holds for each from its own state holds for all.
    """
    for steps in range(1, call.steps):
        head = called(session, call.before, steps)
        if head.losses.tobytes() != call.losses[:steps].tobytes():
            continue
        tail = called(session, head.after, call.steps - steps)
        if same_bits(call, in_a_row((head, tail))).within:
            return [*pieces(session, head), *pieces(session, tail)]
    return [call]


def _outcome(call: Call) -> dict[str, Array]:
    after = f"after step {call.before.step + call.steps}"
    arrays = {"losses": call.losses, f"step {after}": np.asarray(call.after.step)}
    return arrays | {f"{name} {after}": array for name, array in call.after.tensors.items()}
