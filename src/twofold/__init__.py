"""Twofold: one spec of an MLP, native in PyTorch and in Flax/Optax, certified equal and timed.

    from twofold import Experiment, certify
    report = certify(Experiment.load("digits"), engines=["torch:eager"])

Names load on first use, so that the command line starts fast; no framework is imported here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from twofold.backends.installed import engine_names
    from twofold.engines.registry import open_session
    from twofold.engines.session import Session
    from twofold.parity.assertions import assert_parity
    from twofold.parity.certify import certify
    from twofold.problem.data import prepare
    from twofold.problem.problem import Batch, Problem
    from twofold.problem.state import TrainState
    from twofold.spec.experiment import Experiment

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Experiment",
    "Problem",
    "Session",
    "TrainState",
    "assert_parity",
    "certify",
    "engine_names",
    "open_session",
    "prepare",
]

_HOMES: Final = {
    "Batch": "twofold.problem.problem",
    "Experiment": "twofold.spec.experiment",
    "Problem": "twofold.problem.problem",
    "Session": "twofold.engines.session",
    "TrainState": "twofold.problem.state",
    "assert_parity": "twofold.parity.assertions",
    "certify": "twofold.parity.certify",
    "engine_names": "twofold.engines.registry",
    "open_session": "twofold.engines.registry",
    "prepare": "twofold.problem.data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'twofold' has no attribute {name!r}; it has {__all__}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
