"""Runs a trap: both sides, and both sides with the fix, against what they are known to give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, final

import torch

from comparisons.atlas.traps.outcome import Outcome, meets, observe, same
from comparisons.atlas.traps.trap import Raises, Trap, Warns
from comparisons.atlas.traps.wording import outcome_text, value_text

PROJECT: Final = Path(__file__).parents[3]
LIBRARIES: Final = ("torch", "jax", "flax", "optax", "numpy")
FRESH_PROCESS: Final = (
    "import sys; from comparisons.atlas.traps.check import print_outcomes; "
    "print_outcomes(sys.argv[1])"
)
SECONDS: Final = 300.0


@final
@dataclass(frozen=True)
class Result:
    """What each side gave when it ran, as it is and fixed, and what was not as described."""

    trap: Trap
    pytorch: Outcome
    jax: Outcome
    pytorch_fixed: Outcome
    jax_fixed: Outcome
    complaints: tuple[str, ...]


def cannot_run(trap: Trap) -> str:
    """Why the trap cannot run on this machine; empty where it can."""
    if trap.needs == "cuda" and not torch.cuda.is_available():
        return "needs a CUDA device, and PyTorch sees none here"
    return ""


def check(trap: Trap) -> Result:
    """Run a trap. The result's complaints are empty where it still is what it says it is."""
    outcomes = in_fresh_process(trap) if trap.environment else observe_all(trap)
    return Result(trap, *outcomes, complaints=tuple(complaints(trap, *outcomes)))


def observe_all(trap: Trap) -> tuple[Outcome, Outcome, Outcome, Outcome]:
    pytorch, jax = observe(trap.pytorch), observe(trap.jax)
    pytorch_fixed = observe(trap.pytorch_fixed) if trap.pytorch_fixed else pytorch
    jax_fixed = observe(trap.jax_fixed) if trap.jax_fixed else jax
    return pytorch, jax, pytorch_fixed, jax_fixed


def complaints(
    trap: Trap, pytorch: Outcome, jax: Outcome, pytorch_fixed: Outcome, jax_fixed: Outcome
) -> Iterator[str]:
    """Every way in which what was observed is not what the trap describes."""
    for side, outcome, expected in (
        ("PyTorch", pytorch, trap.pytorch_gives),
        ("JAX", jax, trap.jax_gives),
    ):
        if not meets(outcome, expected, trap.tolerance):
            yield obsolete(trap, side, outcome, expected)
    if not trap.shared and alike(trap):
        yield f"trap {trap.id}: both sides are expected to give the same, so it is none"
    for side, fixed in (("PyTorch", pytorch_fixed), ("JAX", jax_fixed)):
        if fixed.error or fixed.warnings:
            yield f"trap {trap.id}: the fixed {side} side gives {outcome_text(fixed)}"
    if not same(jax_fixed.value, pytorch_fixed.value, trap.fix_tolerance):
        yield (
            f"trap {trap.id}: the fix no longer makes the two equal: PyTorch "
            f"{outcome_text(pytorch_fixed)}, JAX {outcome_text(jax_fixed)} ({versions()})"
        )


def alike(trap: Trap) -> bool:
    """Whether the two expectations cannot be told apart within the trap's tolerance."""
    pytorch, jax = trap.pytorch_gives, trap.jax_gives
    if isinstance(pytorch, Raises | Warns) or isinstance(jax, Raises | Warns):
        return bool(pytorch == jax)
    return same(jax, pytorch, trap.tolerance)


def obsolete(trap: Trap, side: str, outcome: Outcome, expected: Any) -> str:
    return (
        f"trap {trap.id} became obsolete: expected {value_text(expected)} from {side}, now "
        f"{outcome_text(outcome)} (verified with {trap.verified}; here {versions()})"
    )


def versions() -> str:
    """The installed libraries, as `torch 2.13.0, jax ...`."""
    return ", ".join(f"{name} {version(name)}" for name in LIBRARIES)


def in_fresh_process(trap: Trap) -> tuple[Outcome, Outcome, Outcome, Outcome]:
    """The outcomes of a trap whose environment variables must be set before anything loads."""
    path = os.pathsep.join([str(PROJECT), *filter(None, sys.path)])
    process = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, trap.id],
        env=os.environ | {"PYTHONPATH": path} | dict(trap.environment),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"trap {trap.id} broke in its own process:\n{process.stderr}")
    first, second, third, fourth = (
        Outcome(**entry | {"warnings": tuple(entry["warnings"])})
        for entry in json.loads(process.stdout.splitlines()[-1])
    )
    return first, second, third, fourth


def print_outcomes(trap_id: str) -> None:
    """In a fresh process: run one trap and print its outcomes as one line of JSON."""
    from comparisons.atlas.traps.registry import find

    outcomes = observe_all(find(trap_id))
    print(json.dumps([asdict(outcome) for outcome in outcomes]))
