"""States as people have them: state dicts of arrays or tensors, safetensors files."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as to_bytes

from twofold.errors import BadInput, DataError
from twofold.files import write_atomically
from twofold.port.side import Array

_WRAPPERS: Final = ("module.", "_orig_mod.", "model.")
_TYPES: Final = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def arrays_of(
    state: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    tied: Mapping[str, str],
) -> dict[str, Array]:
    """The arrays of a state under the names of a side; second names of tied tensors are resolved.

    A prefix that a wrapper puts before every name ("module.", "_orig_mod.") is taken away. Raises
    BadInput for names that the side does not have, other shapes, and tied names that differ.
    """
    arrays = {name: array(name, value) for name, value in state.items()}
    arrays = _unwrapped(arrays, shapes, tied)
    for name in list(arrays):
        if name in tied:
            value = arrays.pop(name)
            first = arrays.setdefault(tied[name], value)
            if first.tobytes() != value.tobytes():
                raise BadInput(
                    f"{name} and {tied[name]}: tied in the model, but their values differ"
                )
        elif name not in shapes:
            close = get_close_matches(name, [*shapes, *tied], n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise BadInput(f"{name}: the model has no such tensor{hint}")
    for name, value in arrays.items():
        if tuple(value.shape) != tuple(shapes[name]):
            raise BadInput(
                f"{name}: shape {tuple(value.shape)} in the state, {shapes[name]} in the model"
            )
    return arrays


def array(name: str, value: Any) -> Array:
    """An array or tensor as NumPy, bit for bit. Raises BadInput."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):
        plain = value.detach().cpu()
        if str(plain.dtype) == "torch.bfloat16":
            return np.asarray(plain.float().numpy()).astype(_bfloat16(name))
        return np.asarray(plain.numpy())
    if hasattr(value, "__array__"):
        return np.asarray(value)
    raise BadInput(f"{name}: a {type(value).__name__} given; allowed are arrays and tensors")


def _unwrapped(
    arrays: dict[str, Array], shapes: Mapping[str, object], tied: Mapping[str, object]
) -> dict[str, Array]:
    for prefix in _WRAPPERS:
        known = any(name in shapes or name in tied for name in arrays)
        if arrays and not known and all(name.startswith(prefix) for name in arrays):
            arrays = {name.removeprefix(prefix): value for name, value in arrays.items()}
    return arrays


def _bfloat16(name: str) -> np.dtype[Any]:
    if importlib.util.find_spec("ml_dtypes") is None:
        raise BadInput(
            f"{name}: is bfloat16, which NumPy has from ml_dtypes; pip install ml_dtypes"
        )
    dtype: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    return dtype


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The tensors of a safetensors file. Raises DataError."""
    source = Path(path)
    try:
        stored = deserialize(source.read_bytes())  # type: ignore[no-untyped-call]
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise DataError(
            f"{source}: not a whole safetensors file: {error}; a PyTorch checkpoint is written so "
            "by safetensors.torch.save_file(model.state_dict(), path)"
        ) from error
    tensors = {}
    for name, content in sorted(stored, key=lambda item: str(item[0])):
        kind = _TYPES.get(content["dtype"])
        if kind is None:
            raise DataError(
                f"{source}: {name}: type {content['dtype']}; allowed: {', '.join(_TYPES)}"
            )
        dtype = _bfloat16(name) if kind == "bfloat16" else np.dtype(kind)
        flat = np.frombuffer(bytearray(content["data"]), dtype)
        tensors[name] = flat.reshape(content["shape"])
    return tensors


def save(tensors: Mapping[str, Array], path: str | os.PathLike[str]) -> Path:
    """Write tensors as a safetensors file, whole or not at all. Raises DataError."""
    target = Path(path)
    whole = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    try:
        write_atomically(target, to_bytes(whole))
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
    return target
