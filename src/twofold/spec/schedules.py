"""Schedules of the learning rate: what `learning_rate` is multiplied by before each step.

They count training steps. PyTorch's examples step a schedule once an epoch (`scheduler.step()`
after the loop over the batches); to get the same here, multiply its numbers by the steps of an
epoch. Optax counts the steps of the optimizer, as Twofold does.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from twofold.spec.section import Fraction, PositiveInt, PositiveShare, Section, Share


class Constant(Section):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"


class Linear(Section):
    """A straight line from `start_fraction` to `final_fraction`, which it keeps.

    Before step t (from 0) the factor is start + (final - start) min(t, T) / T with
    T = `transition_steps`: `optax.linear_schedule` (Optax 0.2.8) and
    `torch.optim.lr_scheduler.LinearLR(start_factor, end_factor, total_iters)` (PyTorch 2.13).
    PyTorch's defaults go from 1/3 up to 1 in 5 steps, and it refuses a start of 0, which Optax
    allows; so 0 is refused here (`warmup_cosine` starts at 0).
    """

    kind: Literal["linear"] = "linear"
    transition_steps: PositiveInt
    start_fraction: PositiveShare = 1.0
    final_fraction: Share = 0.0


class StepDecay(Section):
    """The rate is multiplied by `decay_rate` each time that `transition_steps` steps are over.

    Before step t the factor is decay_rate^(t // transition_steps):
    `torch.optim.lr_scheduler.StepLR(step_size, gamma)` (PyTorch 2.13; its gamma is 0.1 by default)
    and `optax.exponential_decay(..., staircase=True)` (Optax 0.2.8). Optax divides and rounds down
    in floating point; see `twofold_jax.optimizer` for what XLA makes of that.
    """

    kind: Literal["step"] = "step"
    transition_steps: PositiveInt
    decay_rate: PositiveShare = 0.1


class Exponential(Section):
    """The rate falls by the factor `decay_rate` over `transition_steps` steps, a little each step.

    Before step t the factor is decay_rate^(t / transition_steps), the form of
    `optax.exponential_decay` (Optax 0.2.8). `torch.optim.lr_scheduler.ExponentialLR(gamma)`
    (PyTorch 2.13) has the factor of a single step instead: gamma = decay_rate^(1 /
    transition_steps).
    """

    kind: Literal["exponential"] = "exponential"
    transition_steps: PositiveInt = 1
    decay_rate: PositiveShare


class WarmupCosine(Section):
    """Linear warm-up from `start_fraction`, then cosine decay.

    Before step t (from 0) the factor is start + (1 - start) t / warmup_steps while
    t < warmup_steps, then final + (1 - final) (1 + cos(pi x)) / 2, where x goes from 0 to 1 between
    warmup_steps and decay_steps and stays there: `decay_steps` counts the warm-up, as in
    `optax.warmup_cosine_decay_schedule` (Optax 0.2.8), whose `init_value` is
    start_fraction * learning_rate. PyTorch's `CosineAnnealingLR` has no warm-up and climbs again
    after `T_max` steps (PyTorch 2.13).
    """

    kind: Literal["warmup_cosine"] = "warmup_cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    decay_steps: PositiveInt
    start_fraction: Share = 0.0
    final_fraction: Fraction = 0.0

    @model_validator(mode="after")
    def _decay_follows_warmup(self) -> Self:
        if self.decay_steps <= self.warmup_steps:
            raise ValueError(
                f"decay_steps = {self.decay_steps} given; it counts the warm-up, so allowed is "
                f"more than warmup_steps = {self.warmup_steps}"
            )
        if self.start_fraction > 0 and self.warmup_steps == 0:
            raise ValueError(
                f"start_fraction = {self.start_fraction:g} given without a warm-up, which it is "
                "the start of; set warmup_steps, or leave start_fraction out"
            )
        return self


Schedule = Annotated[
    Constant | Linear | StepDecay | Exponential | WarmupCosine, Field(discriminator="kind")
]
