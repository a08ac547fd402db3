"""Twofold: one spec of an MLP, native in PyTorch and in Flax/Optax, certified equal and timed.

    from twofold import Experiment, certify
    report = certify(Experiment.load("digits"), engines=["torch:eager"])

Names load on first use, so that the command line starts fast; no framework is imported here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from twofold.backends import engine_names, open_session
    from twofold.data import prepare
    from twofold.experiment import Experiment
    from twofold.parity.assertions import assert_parity
    from twofold.parity.certify import certify
    from twofold.problem import Batch, Problem
    from twofold.session import Session
    from twofold.state import TrainState

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
    "Batch": "twofold.problem",
    "Experiment": "twofold.experiment",
    "Problem": "twofold.problem",
    "Session": "twofold.session",
    "TrainState": "twofold.state",
    "assert_parity": "twofold.parity.assertions",
    "certify": "twofold.parity.certify",
    "engine_names": "twofold.backends",
    "open_session": "twofold.backends",
    "prepare": "twofold.data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'twofold' has no attribute {name!r}; it has {__all__}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
