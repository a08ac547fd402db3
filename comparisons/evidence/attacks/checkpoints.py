"""Every bit of a small checkpoint flipped, and the file cut at every length.

Nothing is drawn: case 8 i + b flips bit b of byte i; behind the last of them come the lengths.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from twofold.problem import checkpoint
from twofold.problem.state import TrainState
from twofold.temporary import temporary_folder


def attack(seed: int, number: int, folder: Path) -> str:
    """Load one damaged checkpoint: refused, or the state is the one that was saved, bit for bit."""
    del seed
    data, path = bytearray(_saved()), folder / "state.safetensors"
    byte, bit = divmod(number, 8)
    if byte < len(data):
        data[byte] ^= 1 << bit
    else:
        del data[number - 8 * len(data) :]
    path.write_bytes(data)
    loaded = checkpoint.load(path)
    return "accepted: the same state" if _same(loaded) else "silent: another state is loaded"


def cases() -> int:
    """How many there are."""
    return 9 * len(_saved())


def _state() -> TrainState:
    rng = np.random.default_rng(7)
    parameters = {
        "layers.0.weight": rng.standard_normal((2, 3)).astype(np.float32),
        "layers.0.bias": rng.standard_normal(2).astype(np.float32),
    }
    return TrainState(parameters, {"momentum": {k: v + 1 for k, v in parameters.items()}}, 41)


@cache
def _saved() -> bytes:
    with temporary_folder() as folder:
        return checkpoint.save(_state(), folder / "state.safetensors").read_bytes()


def _same(loaded: TrainState) -> bool:
    saved = _state()
    return (
        loaded.step == saved.step
        and list(loaded.tensors) == list(saved.tensors)
        and all(
            loaded.tensors[name].tobytes() == array.tobytes()
            and loaded.tensors[name].dtype == array.dtype
            and loaded.tensors[name].shape == array.shape
            for name, array in saved.tensors.items()
        )
    )
