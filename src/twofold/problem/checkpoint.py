"""Train states on disk: safetensors, canonical names, bit for bit; never a pickle.

A parameter stands under its own canonical name, so that any reader of safetensors finds a plain
weight file; an optimizer slot stands as `first_moment:layers.0.weight`, a buffer as
`buffers:layers.1.running_mean`. The file's metadata names the format, the number of steps taken,
and a digest of all that a train state is read from:

    SHA-256 of, one after the other,
    the JSON text [format, step] and a line feed, both values as they stand in the metadata; where
    the metadata has more, [format, step, the rest of it sorted by key] instead;
    for each tensor, in the order of their names' code points: the JSON text [name, dtype, shape]
    and a line feed, dtype as safetensors writes it; then the tensor's bytes.

JSON texts are those of Python's `json.dumps` with its defaults. The digest finds damage; it proves
nothing about who wrote the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from twofold.errors import DataError
from twofold.files import write_atomically
from twofold.problem.state import SEPARATOR, Array, TrainState

FORMAT: Final = "twofold.checkpoint/2"
WITHOUT_DIGEST: Final = "twofold.checkpoint/1"
OWN: Final = ("format", "step", "digest")
NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})
BUFFERS: Final = "buffers"
DTYPES: Final = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
LARGEST_STEP: Final = 2**63 - 1
MOST_DIMENSIONS: Final = 8

_TENSOR: Final = re.compile(r"layers\.(0|[1-9][0-9]{0,5})((?:\.[a-z][a-z0-9_]*)+)", re.ASCII)
_SLOT: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


def save(
    state: TrainState, path: str | os.PathLike[str], about: Mapping[str, str] = NOTHING_MORE
) -> Path:
    """Write a train state, whole or not at all; folders are made.

    `about` stands in the file's metadata beside the format, the step and the digest.

    Raises DataError when the file cannot be written, and for a state that `load` would refuse:
    then nothing is written.
    """
    target = Path(path)
    _check_state(target, state)
    tensors = {name: np.asarray(array, order="C") for name, array in named_tensors(state).items()}
    step = str(int(state.step))
    digest = _digest(FORMAT, step, tensors, about)
    metadata = {**about, "format": FORMAT, "step": step, "digest": digest}
    try:
        write_atomically(target, to_bytes(tensors, metadata))
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
    return target


def load(path: str | os.PathLike[str], *, without_digest: bool = False) -> TrainState:
    """Read a train state that `save` wrote, parameters in the order of their layers.

    Raises DataError, and nothing else whatever the bytes are, for a file that is missing, damaged
    or not a checkpoint, and for what no train state is. `without_digest` also reads files of the
    first format, `twofold.checkpoint/1`, which cannot show damage. `Session.load_state` checks that
    the state fits its problem.
    """
    return load_with_about(path, without_digest=without_digest)[0]


def load_with_about(
    path: str | os.PathLike[str], *, without_digest: bool = False
) -> tuple[TrainState, Mapping[str, str]]:
    """As `load`, with what else stands in the metadata."""
    source = Path(path)
    metadata, tensors = _read(source)
    _check_format(source, metadata, tensors, without_digest)
    state = state_of(tensors, _checked_step(source, metadata.get("step", "")))
    _check_state(source, state)
    return state, _about(metadata)


def named_tensors(state: TrainState) -> dict[str, Array]:
    """All arrays of a state under the names that they have in files."""
    buffers = {f"{BUFFERS}{SEPARATOR}{name}": array for name, array in state.buffers.items()}
    return {**state.parameters, **state.named_slots, **buffers}


def state_of(tensors: Mapping[str, Array], step: int) -> TrainState:
    """The state whose arrays have such names, parameters in the order of their layers."""
    parameters: dict[str, Array] = {}
    slots: dict[str, dict[str, Array]] = {}
    for key in sorted(tensors, key=_layer_order):
        slot, separator, name = key.rpartition(SEPARATOR)
        (slots.setdefault(slot, {}) if separator else parameters)[name] = tensors[key]
    buffers = slots.pop(BUFFERS, {})
    return TrainState(parameters, slots, step, buffers)


def _about(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key not in OWN}


def _read(source: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and tensors of a safetensors file, these in dtypes and shapes that a state has."""
    try:
        if not stat.S_ISREG(source.stat().st_mode):  # others may never end, or wait for a writer
            raise DataError(f"{source}: cannot be read: not a regular file")
        with safe_open(source, framework="numpy") as stored:
            names = list(stored.keys())
            for name in names:
                part = stored.get_slice(name)
                _check_stored(source, name, part.get_dtype(), part.get_shape())
            tensors = {name: stored.get_tensor(name) for name in names}
            return stored.metadata() or {}, tensors
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise DataError(f"{source}: not a whole safetensors file: {_shown(str(error))}") from error


def _check_stored(source: Path, name: str, dtype: str, shape: Sequence[int]) -> None:
    """Before an array is made: NumPy lacks some dtypes of safetensors, and some shapes."""
    if dtype not in DTYPES:
        allowed = " or ".join(DTYPES)
        raise DataError(f"{source}: {_shown(name)}: dtype {dtype} given; allowed is {allowed}")
    _check_shape(source, name, shape)


def _check_shape(path: Path, name: str, shape: Sequence[int]) -> None:
    if len(shape) > MOST_DIMENSIONS or 0 in shape:
        raise DataError(
            f"{path}: {_shown(name)}: shape {_shown(str(tuple(shape)))} given; allowed are up to "
            f"{MOST_DIMENSIONS} sizes of 1 or more"
        )


def _check_format(
    source: Path, metadata: Mapping[str, str], tensors: Mapping[str, Array], without_digest: bool
) -> None:
    """Refuse another format, and bytes that are not those that were written."""
    given = metadata.get("format")
    if given == WITHOUT_DIGEST:
        if without_digest:
            return
        raise DataError(
            f"{source}: format {given!r} given, which has no digest: damage would not be seen; if "
            "you trust the file, read it with checkpoint.load(path, without_digest=True), and save "
            "it again"
        )
    if given != FORMAT:
        shown = None if given is None else _shown(given)
        raise DataError(
            f"{source}: format {shown!r} given; allowed is {FORMAT!r}, "
            "which twofold.problem.checkpoint.save writes; of a plain file of weights make a train "
            "state with twofold.problem.state.fresh_state"
        )
    if metadata.get("digest") != _digest(
        given, metadata.get("step", ""), tensors, _about(metadata)
    ):
        raise DataError(
            f"{source}: damaged: its digest is not that of its tensors and step; "
            "take another copy of the file"
        )


def _checked_step(source: Path, text: str) -> int:
    if re.fullmatch(r"0|[1-9][0-9]{0,18}", text) is None or int(text) > LARGEST_STEP:
        raise DataError(f"{source}: step {_shown(text)!r} given; allowed is a whole number from 0")
    return int(text)


def _check_state(path: Path, state: TrainState) -> None:
    """Refuse what no train state is, whatever the problem. Raises DataError."""
    if not 0 <= state.step <= LARGEST_STEP:
        raise DataError(f"{path}: step {state.step} given; allowed is a whole number from 0")
    if not state.parameters:
        raise DataError(f"{path}: no parameters in it; allowed is one or more")
    (dtype, *others) = dict.fromkeys(array.dtype for array in state.parameters.values())
    if others or dtype not in DTYPES.values():
        given = ", ".join(str(each) for each in (dtype, *others))
        raise DataError(
            f"{path}: parameters in {given} given; allowed is float32 or float64, one for all"
        )
    for name, array in state.parameters.items():
        _check_parameter(path, name, array)
    for slot, arrays in state.slots.items():
        _check_slot(path, slot, arrays, state.parameters)
    for name, array in state.buffers.items():
        _check_buffer(path, name, array, dtype)


def _check_parameter(path: Path, name: str, array: Array) -> None:
    if _TENSOR.fullmatch(name) is None:
        raise DataError(
            f"{path}: parameter {_shown(name)!r} given; allowed are names such as layers.0.weight"
        )
    _check_shape(path, name, array.shape)
    if not np.all(np.isfinite(array)):
        index = ", ".join(str(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"{path}: {name}[{index}]: not finite; allowed are finite numbers")


def _check_buffer(path: Path, name: str, array: Array, dtype: np.dtype[np.floating]) -> None:
    """A buffer's numbers may be infinite: the variance of large rows is, in float32."""
    if _TENSOR.fullmatch(name) is None or array.dtype != dtype:
        raise DataError(
            f"{path}: buffer {_shown(name)!r} in {array.dtype} given; allowed are names such as "
            f"layers.1.running_mean, in {dtype} as the parameters"
        )
    _check_shape(path, name, array.shape)


def _check_slot(
    path: Path, slot: str, arrays: Mapping[str, Array], parameters: Mapping[str, Array]
) -> None:
    """A slot's numbers may be infinite: the square of a large gradient is, in float32."""
    if _SLOT.fullmatch(slot) is None or slot == BUFFERS:
        raise DataError(
            f"{path}: slot {_shown(slot)!r} given; allowed are names such as first_moment"
        )
    if set(arrays) != set(parameters):
        differing = ", ".join(sorted(set(arrays) ^ set(parameters)))
        raise DataError(f"{path}: slot {slot} and the parameters differ in {_shown(differing)}")
    for name, array in arrays.items():
        like = parameters[name]
        if array.shape != like.shape or array.dtype != like.dtype:
            raise DataError(
                f"{path}: {slot}{SEPARATOR}{name}: {array.dtype} {array.shape} given; "
                f"allowed is {like.dtype} {like.shape}, as {name} has"
            )


def _digest(
    form: str,
    step: str,
    tensors: Mapping[str, Array],
    about: Mapping[str, str] = NOTHING_MORE,
) -> str:
    """SHA-256 in hexadecimal digits; see the module's own description."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    rest = [dict(sorted(about.items()))] if about else []
    digest = hashlib.sha256(_line([form, step, *rest]))
    for name, array in sorted(tensors.items()):
        digest.update(_line([name, names[array.dtype], list(array.shape)]))
        digest.update(np.asarray(array, order="C").tobytes())
    return digest.hexdigest()


def _line(values: list[object]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _shown(text: str, most: int = 100) -> str:
    """A text from a file, short enough for a message, without what a terminal would obey."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text[: most + 1])
    return plain if len(text) <= most else f"{plain[:most]}..."


def _layer_order(key: str) -> tuple[int, str]:
    """Layers by number, weight before bias; names of another form last, by name."""
    match = _TENSOR.fullmatch(key.rpartition(SEPARATOR)[2])
    if match is None:
        return 10**6, key
    return int(match[1]), {".weight": "0", ".bias": "1"}.get(match[2], match[2])
