"""The engine for who does not choose one: how many steps repay compiling."""

from __future__ import annotations

from typing import Final

from twofold.backends.description import EngineChoice
from twofold.problem.problem import Problem
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.sequence import every
from twofold.spec.model import dropouts
from twofold_torch.cpp_compiler import NEXT_BEST, why_no_compiler
from twofold_torch.device import choose_device
from twofold_torch.remembered import was_compiled

COMPILED: Final = "compile-step"

COMPILING_S: Final = 18.4
"""Seconds by which a cold start of `compile-step` is longer than one of `eager-fused`."""
SAVED_PER_LAYER_S: Final = 220e-6
SAVED_PER_MASKED_LAYER_S: Final = 650e-6
"""What a compiled step saves of an `eager-fused` one for each linear layer: starting its kernels.
All three are medians over 10 random workloads on two threads of a busy Intel Xeon (its stored
`default-rule-2-threads.json`); the rule takes only their ratios."""


def default_engine(problem: Problem, steps: int) -> EngineChoice:
    """Eager for few steps, compiled for many, and where the compiled steps are there already."""
    device = choose_device(problem.experiment)
    if device.type != "cpu":
        return EngineChoice(NEXT_BEST, f"nothing was measured on {device.type} that says better")
    if was_compiled(problem):
        return EngineChoice(COMPILED, "its compiled steps are kept from an earlier start")
    needed = break_even(problem)
    if steps < needed:
        return EngineChoice(NEXT_BEST, f"compiling pays from about {needed:,} steps, not {steps:,}")
    reason = why_no_compiler()
    if reason:
        return EngineChoice(NEXT_BEST, f"{steps:,} steps would repay compiling, but {reason}")
    return EngineChoice(COMPILED, f"{steps:,} steps repay compiling, as about {needed:,} do")


def break_even(problem: Problem) -> int:
    """The steps that save as much time as compiling takes, rounded to hundreds."""
    layers = sum(isinstance(each.layer, Linear) for each in every(problem.layers))
    masked = problem.experiment.rng == "shared" and len(dropouts(problem.experiment.model)) > 0
    saved = (SAVED_PER_MASKED_LAYER_S if masked else SAVED_PER_LAYER_S) * max(1, layers)
    return 100 * round(COMPILING_S / saved / 100)
