"""Train states on disk: safetensors, canonical names, bit for bit; never a pickle.

A parameter stands under its own canonical name, so that any reader of safetensors finds a plain
weight file; an optimizer slot stands as `first_moment:layers.0.weight`. The file's metadata names
the format and the number of steps taken.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from twofold.errors import DataError
from twofold.files import write_atomically
from twofold.problem.state import Array, TrainState

FORMAT: Final = "twofold.checkpoint/1"
SEPARATOR: Final = ":"


def save(state: TrainState, path: str | os.PathLike[str]) -> Path:
    """Write a train state, whole or not at all; folders are made.

    Raises DataError when the file cannot be written.
    """
    target = Path(path)
    tensors = {name: np.ascontiguousarray(array) for name, array in state.parameters.items()}
    for slot, arrays in state.slots.items():
        for name, array in arrays.items():
            tensors[f"{slot}{SEPARATOR}{name}"] = np.ascontiguousarray(array)
    data = to_bytes(tensors, {"format": FORMAT, "step": str(state.step)})
    try:
        write_atomically(target, data)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
    return target


def load(path: str | os.PathLike[str]) -> TrainState:
    """Read a train state that `save` wrote, parameters in the order of their layers.

    Raises DataError for a file that is missing, damaged or not a checkpoint of this format.
    `Session.load_state` checks that the state fits its problem.
    """
    source = Path(path)
    try:
        with safe_open(source, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise DataError(f"{source}: not a whole safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise DataError(
            f"{source}: format {metadata.get('format')!r} given; allowed is {FORMAT!r}, "
            "which twofold.problem.checkpoint.save writes"
        )
    return _state_of(source, tensors, metadata)


def _state_of(source: Path, tensors: dict[str, Array], metadata: dict[str, str]) -> TrainState:
    step = metadata.get("step", "")
    if not (step.isascii() and step.isdigit()):
        raise DataError(f"{source}: step {step!r} given; allowed is a whole number from 0")
    parameters: dict[str, Array] = {}
    slots: dict[str, dict[str, Array]] = {}
    for key in sorted(tensors, key=_layer_order):
        slot, separator, name = key.rpartition(SEPARATOR)
        (slots.setdefault(slot, {}) if separator else parameters)[name] = tensors[key]
    if not parameters:
        raise DataError(f"{source}: no parameters in it; allowed is one or more")
    for slot, arrays in slots.items():
        if set(arrays) != set(parameters):
            differing = ", ".join(sorted(set(arrays) ^ set(parameters)))
            raise DataError(f"{source}: slot {slot} and the parameters differ in {differing}")
    return TrainState(parameters, slots, int(step))


def _layer_order(key: str) -> tuple[int, str]:
    """Layers by number, weight before bias; names of another form last, by name."""
    parts = key.rpartition(SEPARATOR)[2].split(".")
    if len(parts) == 3 and parts[0] == "layers" and parts[1].isdigit():
        return int(parts[1]), {"weight": "0", "bias": "1"}.get(parts[2], parts[2])
    return len(key) + 2**31, key
