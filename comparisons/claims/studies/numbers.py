"""Whether numbers are the same: between the frameworks, from one seed, in a repeated run."""

from __future__ import annotations

from typing import Any, Final

import jax
import numpy as np
import torch

from comparisons.claims.claim import Findings
from twofold import Experiment, Session, TrainState, open_session, prepare
from twofold.problem import metrics

ENGINES: Final = ("torch:eager", "flax:jit")
STEPS: Final = (1, 10, 100, 500)


def same_numbers(quick: bool) -> Findings:
    """Train the digits in both frameworks from the same bits; how far the parameters come apart."""
    steps = STEPS[:3] if quick else STEPS
    problem = prepare(Experiment.load("digits"))
    ours, theirs = (open_session(problem, engine) for engine in ENGINES)
    differences, taken = [], 0
    for step in steps:
        for session in (ours, theirs):
            session.run(step - taken)
        taken = step
        differences.append(largest_difference(ours.state(), theirs.state()))
    return {
        "conditions": "digits, float32, torch:eager and flax:jit, the same initial values, batches "
        "and dropout masks bit for bit",
        "steps": list(steps),
        "largest_difference": differences,
        "accuracy": {session.engine: accuracy(session) for session in (ours, theirs)},
    }


def largest_difference(ours: TrainState, theirs: TrainState) -> float:
    distances = [
        np.abs(array - theirs.parameters[name]).max() for name, array in ours.parameters.items()
    ]
    return float(np.max(distances))  # not a number where one of them is not


def accuracy(session: Session) -> float:
    test = session.problem.test
    return metrics.accuracy(session.logits(test.inputs), test.targets)


def same_seed(quick: bool) -> Findings:
    """Uniform numbers of both frameworks from the seed 0."""
    del quick  # this takes a second either way
    torch.manual_seed(0)
    ours = torch.rand(1000).numpy()
    theirs = np.asarray(jax.random.uniform(jax.random.key(0), (1000,)))
    return {
        "conditions": "1,000 uniform numbers in float32 from the seed 0 in each framework",
        "equal_numbers": int((ours == theirs).sum()),
        "numbers": 1000,
        "torch_first": ours[:3].tolist(),
        "jax_first": theirs[:3].tolist(),
    }


def repeated_run(quick: bool) -> Findings:
    """The same experiment twice in each engine: whether the parameters are equal bit for bit."""
    steps = 20 if quick else 200
    return {
        "conditions": f"digits, float32, {steps} steps, twice in each engine, one machine, the "
        "same number of threads",
        "equal": {engine: is_repeatable(engine, steps) for engine in ENGINES},
    }


def is_repeatable(engine: str, steps: int) -> bool:
    problem = prepare(Experiment.load("digits"))
    states: list[Any] = []
    for _ in range(2):
        session = open_session(problem, engine)
        session.run(steps)
        states.append(session.state())
    return largest_difference(states[0], states[1]) == 0.0
