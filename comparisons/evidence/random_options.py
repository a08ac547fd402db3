"""The options of random experiments.

The *wide* draws have schedule, clipping by global norm, label smoothing and late steps; the *full*
draws every other option of the spec besides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, get_args

import numpy as np

from comparisons.evidence.random_numbers import count, real
from twofold.parity.ladder.reference import training_step
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.problem.problem import Batch, Problem, initial_state
from twofold.spec.experiment import (
    BceWithLogits,
    BiasInit,
    Constant,
    CrossEntropy,
    Experiment,
    Exponential,
    Huber,
    Init,
    Linear,
    Loss,
    Schedule,
    StepDecay,
    WarmupCosine,
)

SCHEDULED: Final = 0.6  # shares of the experiments that have an option
CLIPPED: Final = 0.6
SMOOTHED: Final = 0.6
AT_THE_NORM: Final = 0.4  # of the clipped: the limit is near the first gradient's own norm
MAX_WARMUP: Final = 100
MAX_DECAY: Final = 2000
MAX_STEP: Final = 10_000

# Of the full draws.
WEIGHTED: Final = 0.6
OTHER_ACTIVATION: Final = 0.4
OTHER_SCHEDULE: Final = 0.8
WEIGHT_SIZES: Final = (1e-2, 1e2)
DELTAS: Final = (1e-2, 1e2)


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


def every_option(random: np.random.Generator, experiment: Experiment) -> Experiment:
    """The experiment of a wide draw with the options that those lack."""
    model: dict[str, Any] = {
        "init": random.choice(get_args(Init)),
        "bias_init": random.choice(get_args(BiasInit)),
    }
    if random.random() < OTHER_ACTIVATION:
        model["activation"] = random.choice(["leaky_relu", "elu"])
    outputs = experiment.model.out_features
    assert outputs is not None
    optimizer: dict[str, Any] = {"decay_biases": bool(random.random() < 0.5)}
    if random.random() < OTHER_SCHEDULE:
        optimizer["schedule"] = _other_schedule(random)
    return experiment.model_copy(
        update={
            "model": experiment.model.model_copy(update=model),
            "loss": _other_loss(random, experiment.loss, outputs),
            "optimizer": experiment.optimizer.model_copy(update=optimizer),
        }
    )


def _other_loss(random: np.random.Generator, loss: Loss, outputs: int) -> Loss:
    """The loss with weights, or Huber's in place of the squared error."""
    if random.random() >= WEIGHTED:
        return loss
    weights = tuple(real(random, *WEIGHT_SIZES) for _ in range(outputs))
    if loss.kind == "cross_entropy":
        return CrossEntropy(label_smoothing=loss.label_smoothing, class_weights=weights)
    if loss.kind == "bce_with_logits":
        return BceWithLogits(pos_weight=weights)
    return Huber(delta=real(random, *DELTAS))


def _other_schedule(random: np.random.Generator) -> Schedule:
    length = count(random, 1, MAX_DECAY)
    kind = random.choice(["linear", "step", "exponential", "warmup_cosine"])
    if kind == "linear":
        start = 1.0 if random.random() < 0.5 else real(random, 1e-3, 1.0)
        final = 0.0 if random.random() < 0.5 else float(random.uniform(0, 1))
        return Linear(transition_steps=length, start_fraction=start, final_fraction=final)
    if kind == "step":
        return StepDecay(transition_steps=length, decay_rate=float(random.uniform(0.05, 1)))
    if kind == "exponential":
        return Exponential(transition_steps=length, decay_rate=float(random.uniform(0.01, 1)))
    warmup = count(random, 1, MAX_WARMUP)
    start = float(random.uniform(0, 1))
    return WarmupCosine(warmup_steps=warmup, decay_steps=warmup + length, start_fraction=start)
