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

COMPILING_S: Final = 9.9
COMPILING_MASKS_S: Final = 15.2
"""Seconds by which a cold start of `compile-step` is longer than one of `eager`, without and with
dropout masks: of diabetes, and the median of digits, breast-cancer and lesson, in the stored run of
the main job on two cores of an AMD EPYC. PyTorch had compiled its headers there before, which it
does once for each environment: the first cold start of all took 20 s longer."""
SAVED_PER_LAYER_S: Final = 100e-6
SAVED_PER_MASKED_LAYER_S: Final = 350e-6
"""What a compiled step saves of an eager one for each linear layer: starting its kernels. Medians
over 40 random workloads on an Intel Xeon (its stored `advice-score-1-threads.json`,
`torch:compile-step` against `torch:eager-fused`), before compiled steps stepped by themselves."""


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
    compiling = COMPILING_MASKS_S if masked else COMPILING_S
    saved = (SAVED_PER_MASKED_LAYER_S if masked else SAVED_PER_LAYER_S) * max(1, layers)
    return 100 * round(compiling / saved / 100)
