"""Runs one side of a trap apart from everything else, and says what it gave."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import jax
import numpy as np
import torch

from comparisons.atlas.traps.trap import Raises, Warns

# PyTorch 2.13's own Inductor uses what PyTorch deprecates.
FOREIGN_WARNINGS: Final = ("`torch.jit.script_method` is deprecated",)


@dataclass(frozen=True)
class Outcome:
    """What a function gave: a plain value, or the error it raised, and its warnings."""

    value: Any = None
    error: str = ""
    """Class name of the error; empty where there was none."""
    message: str = ""
    """First line of the error's message."""
    warnings: tuple[str, ...] = ()


def observe(function: Callable[[], Any]) -> Outcome:
    """Call a function with seeded generators; every global setting is as before afterwards."""
    with isolated() as caught:
        try:
            outcome = Outcome(value=plain(function()))
        except Exception as error:  # what a trap raises is its result
            text = str(error).strip()
            outcome = Outcome(error=type(error).__name__, message=text or type(error).__name__)
    messages = tuple(str(warning.message) for warning in caught)
    own = tuple(text for text in messages if not text.startswith(FOREIGN_WARNINGS))
    return Outcome(outcome.value, outcome.error, outcome.message, own)


@contextmanager
def isolated() -> Iterator[list[warnings.WarningMessage]]:
    """Seed all generators, record warnings, and restore the global settings at the end."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    dtype = torch.get_default_dtype()
    x64 = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]  # JAX adds it at run time
    flush = torch.tensor(1e-40).mul(1.0).item() == 0.0
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        try:
            yield caught
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            torch.set_default_dtype(dtype)
            torch.set_flush_denormal(flush)
            if bool(jax.config.jax_enable_x64) != x64:  # type: ignore[attr-defined]  # as above
                jax.config.update("jax_enable_x64", x64)


def plain(value: Any) -> Any:
    """Tensors as nested lists, shapes as tuples, dtypes as their names; else unchanged."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.double() if value.dtype == torch.bfloat16 else value).resolve_conj().tolist()
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        array = np.asarray(value)
        return (array.astype(np.float64) if array.dtype.name == "bfloat16" else array).tolist()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value)) if type(value) is list else tuple(map(plain, value))
    if value is None or isinstance(value, bool | int | float | complex | str):
        return value
    raise TypeError(f"a trap gave {type(value).__name__}; return a tensor, number, string or tuple")


def meets(outcome: Outcome, expected: Any, tolerance: float) -> bool:
    """Whether an outcome is the expected one: its value, its error and its warnings."""
    if isinstance(expected, Raises):
        return outcome.error == expected.kind and expected.words in outcome.message
    if outcome.error:
        return False
    if isinstance(expected, Warns):
        warned = any(expected.words in text for text in outcome.warnings)
        return warned and same(outcome.value, expected.value, tolerance)
    return not outcome.warnings and same(outcome.value, expected, tolerance)


def same(value: Any, expected: Any, tolerance: float) -> bool:
    """Equal in structure, and numbers within tolerance times the tensor's largest magnitude."""
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and value.keys() == expected.keys()
            and all(same(value[name], expected[name], tolerance) for name in expected)
        )
    if isinstance(expected, tuple):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(expected)
            and all(same(a, b, tolerance) for a, b in zip(value, expected, strict=True))
        )
    return close(value, expected, tolerance * largest(expected))


def close(value: Any, expected: Any, allowed: float) -> bool:
    """Equal in structure, and every number within `allowed`; NaN equals NaN."""
    if isinstance(expected, list):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(expected)
            and all(close(a, b, allowed) for a, b in zip(value, expected, strict=True))
        )
    if not is_number(expected) or not is_number(value):
        return type(value) is type(expected) and bool(value == expected)
    if value == expected or (value != value and expected != expected):
        return True
    return allowed > 0.0 and bool(abs(value - expected) <= allowed)


def largest(expected: Any) -> float:
    """The largest finite magnitude in nested lists of numbers; 0 where there is none."""
    if isinstance(expected, list):
        return max(map(largest, expected), default=0.0)
    magnitude = abs(expected) if is_number(expected) else 0.0
    return float(magnitude) if math.isfinite(magnitude) else 0.0


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex) and not isinstance(value, bool)
