"""The options of the wide draws: schedule, clipping by global norm, label smoothing, late steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from comparisons.evidence.random_numbers import count, real
from twofold.parity.ladder.reference import training_step
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.problem.problem import Batch, Problem, initial_state
from twofold.spec.experiment import Constant, CrossEntropy, Experiment, Schedule, WarmupCosine

SCHEDULED: Final = 0.6  # shares of the experiments that have an option
CLIPPED: Final = 0.6
SMOOTHED: Final = 0.6
AT_THE_NORM: Final = 0.4  # of the clipped: the limit is near the first gradient's own norm
MAX_WARMUP: Final = 100
MAX_DECAY: Final = 2000
MAX_STEP: Final = 10_000


def options_of(random: np.random.Generator, problem: Problem) -> Experiment:
    """The problem's experiment with options."""
    experiment = problem.experiment
    if experiment.loss.kind == "cross_entropy" and random.random() < SMOOTHED:
        loss = CrossEntropy(label_smoothing=_smoothing(random))
        experiment = experiment.model_copy(update={"loss": loss})
    options: dict[str, Any] = {"schedule": _schedule(random)}
    if random.random() < CLIPPED:
        options["clip_norm"] = _clip_norm(random, replace(problem, experiment=experiment))
    optimizer = experiment.optimizer.model_copy(update=options)
    return experiment.model_copy(update={"optimizer": optimizer})


def late_step(random: np.random.Generator) -> int:
    """How many steps a state claims to have had."""
    return count(random, 1, MAX_STEP)


def _smoothing(random: np.random.Generator) -> float:
    """Any share, or a small one."""
    if random.random() < 0.5:
        return float(random.uniform(0, 0.99))
    return real(random, 1e-6, 0.1)


def _schedule(random: np.random.Generator) -> Schedule:
    if random.random() >= SCHEDULED:
        return Constant()
    warmup = 0 if random.random() < 0.3 else count(random, 1, MAX_WARMUP)
    return WarmupCosine(
        warmup_steps=warmup,
        decay_steps=warmup + count(random, 1, MAX_DECAY),
        final_fraction=0.0 if random.random() < 0.5 else float(random.uniform(0, 0.99)),
    )


def _clip_norm(random: np.random.Generator, problem: Problem) -> float:
    """A limit of any size, or one close to the norm of the first gradient, above or below it."""
    anywhere = real(random, 1e-4, 1e3)
    factor = 1 + float(random.choice([-1, 1])) * real(random, 1e-8, 0.1)
    if random.random() >= AT_THE_NORM:
        return anywhere
    near = factor * _first_norm(problem)
    return near if 0 < near < np.inf else anywhere


def _first_norm(problem: Problem) -> float:
    """The norm of the first gradient in float32, to eight digits: no order of summation shows."""
    experiment = problem.experiment.model_copy(update={"precision": "float32"})
    train = problem.train
    real_valued = np.issubdtype(train.targets.dtype, np.floating)
    targets = train.targets.astype(np.float32) if real_valued else train.targets
    narrow = replace(
        problem, experiment=experiment, train=Batch(train.inputs.astype(np.float32), targets)
    )
    step = training_step(narrow, initial_state(narrow), arithmetic_for("float32"))
    with np.errstate(over="ignore", invalid="ignore"):
        square = sum(float(np.sum(g.value**2)) for g in step.training.gradients.values())
    return float(f"{square**0.5:.8g}")
