"""Bugs of the learning rate's schedule and of clipping."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final
from unittest.mock import patch

from comparisons.evidence.mutants.hosts import Host, Tensor
from comparisons.evidence.mutants.mutant import Mutant
from comparisons.evidence.mutants.optimizer_bugs import clip_norm_alone, settings
from twofold.problem.problem import Problem
from twofold.spec.experiment import Constant, StepDecay


def _next_rate(host: Host) -> AbstractContextManager[Any]:
    """The rate of the next step, as after calling the schedule before the optimizer."""
    if host.is_torch:
        rooms = host.module("executor")
        original = rooms.seek
        return patch.object(rooms, "seek", lambda schedule, step: original(schedule, step + 1))
    rooms = host.module("optimizer")
    make = rooms.learning_rate

    def ahead(*given: Any) -> Any:
        rate = make(*given)
        return lambda count: rate(count + 1)

    return patch.object(rooms, "learning_rate", ahead)


def _each_clipped(host: Host) -> AbstractContextManager[Any]:
    """Each gradient clipped by its own norm."""
    if host.is_torch:
        import torch

        clip = torch.nn.utils.clip_grad_norm_

        def alone(parameters: Any, limit: float, **options: Any) -> None:
            for parameter in parameters:
                clip([parameter], limit, **options)

        return patch.object(torch.nn.utils, "clip_grad_norm_", alone)
    import jax
    import optax

    def each_alone(limit: float) -> Any:
        def clip(updates: Any, _: Any = None) -> Any:
            return jax.tree.map(_clip_norm_of(host, limit), updates)

        return optax.stateless(clip)

    return patch.object(optax, "clip_by_global_norm", each_alone)


def _clip_norm_of(host: Host, limit: float) -> Callable[[Tensor], Tensor]:
    return lambda g: clip_norm_alone(limit)(host, g)


def _scheduled(name: str, description: str, how: Any) -> Mutant:
    return Mutant(name, "schedule and clipping", description, "classes, scheduled", plant=how)


def _ahead(kind: str) -> Mutant:
    name, words = f"{kind}-off-by-one", f"the {kind} schedule is one step ahead"
    return Mutant(name, "schedule and clipping", words, f"classes, {kind}", plant=_next_rate)


def _rescheduled(
    name: str, description: str, base: str = "classes, scheduled", **values: object
) -> Mutant:
    def change(problem: Problem) -> Problem:
        schedule = problem.experiment.optimizer.schedule.model_copy(update=values)
        return settings(schedule=schedule)(problem)

    return Mutant(name, "schedule and clipping", description, base, change=change)


LINEAR: Final = "classes, linear"

MUTANTS: Final = (
    _scheduled("schedule-off-by-one", "the schedule is one step ahead", _next_rate),
    _scheduled("clipped-one-by-one", "each gradient is clipped alone", _each_clipped),
    _rescheduled("warmup-longer", "one more step of warm-up", warmup_steps=3),
    _rescheduled("decay-after-warmup", "decay steps do not count the warm-up", decay_steps=11),
    _rescheduled("decays-to-zero", "the rate ends at zero", final_fraction=0.0),
    _ahead("linear"),
    _ahead("step"),
    _ahead("exponential"),
    _rescheduled("linear-one-step-longer", "one more step of the line", LINEAR, transition_steps=6),
    _rescheduled(
        "linear-default-start", "PyTorch's default start of 1/3", LINEAR, start_fraction=1 / 3
    ),
    _rescheduled("linear-to-one", "the line ends at one", LINEAR, final_fraction=1.0),
    _rescheduled("step-period", "a drop every third step", "classes, step", transition_steps=3),
    _rescheduled("step-rate", "PyTorch's default gamma of 0.1", "classes, step", decay_rate=0.1),
    _rescheduled(
        "exponential-rate-each-step",
        "the whole decay rate each step",
        "classes, exponential",
        transition_steps=1,
    ),
    _rescheduled(
        "start-at-zero", "the warm-up starts at zero", "classes, from a start", start_fraction=0.0
    ),
    Mutant(
        "staircase-for-exponential",
        "schedule and clipping",
        "a staircase in place of the exponential",
        "classes, exponential",
        change=settings(schedule=StepDecay(transition_steps=3, decay_rate=0.5)),
    ),
    Mutant(
        "no-schedule",
        "schedule and clipping",
        "the rate stays as it is",
        "classes, scheduled",
        change=settings(schedule=Constant()),
    ),
    Mutant(
        "clip-norm-doubled",
        "schedule and clipping",
        "the gradients are clipped at 1",
        "classes, scheduled",
        change=settings(clip_norm=1.0),
    ),
    Mutant(
        "no-clipping",
        "schedule and clipping",
        "the gradients are not clipped",
        "classes, scheduled",
        change=settings(clip_norm=None),
    ),
)
