"""Checkpoints: bit for bit there and back, and a sentence for every broken file."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from twofold.errors import DataError
from twofold.problem import checkpoint
from twofold.problem.state import Array, TrainState


def state_of(dtype: str = "float32", layers: int = 12) -> TrainState:
    random = np.random.default_rng(0)
    parameters = {}
    for layer in range(layers):
        parameters[f"layers.{layer}.weight"] = random.normal(size=(3, 2)).astype(dtype)
        parameters[f"layers.{layer}.bias"] = random.normal(size=3).astype(dtype)
    first = {name: array * 2 for name, array in parameters.items()}
    second = {name: array * array for name, array in parameters.items()}
    return TrainState(parameters, {"first_moment": first, "second_moment": second}, step=41)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_comes_back_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    state = state_of(dtype)
    path = checkpoint.save(state, tmp_path / "new" / "state.safetensors")
    loaded = checkpoint.load(path)
    assert loaded.step == 41
    assert list(loaded.parameters) == list(state.parameters)
    for name, array in state.parameters.items():
        assert loaded.parameters[name].tobytes() == array.tobytes()
        assert loaded.parameters[name].dtype == array.dtype
    assert set(loaded.slots) == set(state.slots)
    for slot, arrays in state.slots.items():
        assert list(loaded.slots[slot]) == list(arrays)
        for name, array in arrays.items():
            assert loaded.slots[slot][name].tobytes() == array.tobytes()


def test_special_numbers_keep_their_bits(tmp_path: Path) -> None:
    """Negative zero and subnormals; in slots also infinity and a NaN's payload."""
    finite = np.array([0x80000000, 0x00000001, 0x807FFFFF, 0x7F7FFFFF], np.uint32)
    other = np.array([0x80000000, 0x00000001, 0x7F800000, 0x7FC12345], np.uint32)
    name = "layers.0.weight"
    parameters, slot = {name: finite.view(np.float32)}, {name: other.view(np.float32)}
    state = TrainState(parameters, {"momentum": slot}, 0)
    loaded = checkpoint.load(checkpoint.save(state, tmp_path / "state.safetensors"))
    np.testing.assert_array_equal(loaded.parameters[name].view(np.uint32), finite)
    np.testing.assert_array_equal(loaded.slots["momentum"][name].view(np.uint32), other)


@pytest.mark.parametrize("step", [0, 1, 2**63 - 1])
def test_every_step_comes_back(step: int, tmp_path: Path) -> None:
    state = TrainState({"layers.0.scale": np.array(0.5, np.float32)}, {}, step)
    loaded = checkpoint.load(checkpoint.save(state, tmp_path / "state.safetensors"))
    assert loaded.step == step
    assert loaded.parameters["layers.0.scale"].shape == ()


def test_a_transposed_view_is_written_in_its_own_order(tmp_path: Path) -> None:
    """safetensors writes memory as it lies; a view must be laid out first."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3).T
    state = TrainState({"layers.0.weight": weight}, {}, 0)
    loaded = checkpoint.load(checkpoint.save(state, tmp_path / "state.safetensors"))
    np.testing.assert_array_equal(loaded.parameters["layers.0.weight"], weight)


def test_any_reader_of_safetensors_finds_the_parameters(tmp_path: Path) -> None:
    state = state_of()
    tensors = load_file(checkpoint.save(state, tmp_path / "state.safetensors"))
    assert set(state.parameters) <= set(tensors)
    assert len(tensors) == 3 * len(state.parameters)


def test_an_old_file_survives_a_failed_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint.save(state_of(), tmp_path / "state.safetensors")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left"):
        checkpoint.save(state_of(layers=1), path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["state.safetensors"]


def test_broken_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    whole = checkpoint.save(state_of(), tmp_path / "whole.safetensors").read_bytes()
    broken = tmp_path / "broken.safetensors"
    for data in (b"", b"not a checkpoint at all", whole[:-1], whole[:40], b"\x80\x04]."):
        broken.write_bytes(data)
        with pytest.raises(DataError, match="not a whole safetensors file"):
            checkpoint.load(broken)
    with pytest.raises(DataError, match="cannot be read"):
        checkpoint.load(tmp_path / "absent.safetensors")
    with pytest.raises(DataError, match="cannot be read"):
        checkpoint.load(tmp_path)


WEIGHT = "layers.0.weight"


def written(folder: Path, tensors: dict[str, Array], metadata: dict[str, str] | None) -> Path:
    """A file that anybody might have made."""
    path = folder / "foreign.safetensors"
    save_file(tensors, path, metadata)
    return path


def digest_by_hand(step: str, tensors: dict[str, Array]) -> str:
    """The digest as the module's description says, written down anew."""
    text = b""
    for name in sorted(tensors):
        kind = {"float32": "F32", "float64": "F64"}[tensors[name].dtype.name]
        sizes = ", ".join(str(size) for size in tensors[name].shape)
        text += f'["{name}", "{kind}", [{sizes}]]\n'.encode() + tensors[name].tobytes()
    return hashlib.sha256(f'["twofold.checkpoint/2", "{step}"]\n'.encode() + text).hexdigest()


def test_the_digest_is_what_its_description_says(tmp_path: Path) -> None:
    path = checkpoint.save(state_of("float64"), tmp_path / "state.safetensors")
    with safe_open(path, framework="numpy") as stored:
        metadata = stored.metadata()
    assert metadata == {
        "format": "twofold.checkpoint/2",
        "step": "41",
        "digest": digest_by_hand("41", load_file(path)),
    }


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "format None given"),
        ({"format": "other"}, "format 'other' given"),
        ({"format": "twofold.checkpoint/3"}, "format 'twofold.checkpoint/3' given; allowed is"),
        ({"format": checkpoint.FORMAT}, "damaged: its digest is not that"),
        ({"format": checkpoint.FORMAT, "digest": "0" * 64}, "damaged: its digest is not that"),
    ],
)
def test_foreign_formats_and_digests_are_refused(
    metadata: dict[str, str] | None, words: str, tmp_path: Path
) -> None:
    notes = None if metadata is None else {"step": "1", **metadata}
    path = written(tmp_path, {WEIGHT: np.zeros(2, np.float32)}, notes)
    with pytest.raises(DataError, match=words):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "step",
    [
        "",
        "-1",
        "041",
        "4.0",
        "\u0664\u0661",  # digits, but not ours
        "\u00b2",  # a digit that `int` does not read
        str(2**63),
        "9" * 5000,  # more digits than `int` reads
    ],
)
def test_odd_steps_are_refused_even_with_a_digest(step: str, tmp_path: Path) -> None:
    tensors = {WEIGHT: np.zeros(2, np.float32)}
    notes = {"format": checkpoint.FORMAT, "step": step, "digest": digest_as_saved(step, tensors)}
    with pytest.raises(DataError, match=r"step '.*' given; allowed is a whole number") as error:
        checkpoint.load(written(tmp_path, tensors, notes))
    assert len(str(error.value)) < 400


def array(*values: object, dtype: str = "float32") -> Array:
    return np.array(values, dtype)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "no parameters in it"),
        ({f"momentum:{WEIGHT}": array(1.0)}, "no parameters in it"),
        (
            {WEIGHT: array(1), "layers.0.bias": array(1), "momentum:layers.0.bias": array(1)},
            "slot momentum and the parameters differ in layers.0.weight",
        ),
        ({WEIGHT: array(1, dtype="bool")}, "dtype BOOL given; allowed is F32 or F64"),
        ({WEIGHT: array(1, dtype="int64")}, "dtype I64 given"),
        ({WEIGHT: array(1, dtype="float16")}, "dtype F16 given"),
        ({WEIGHT: array(1, dtype="complex64")}, "dtype C64 given"),
        ({WEIGHT: array(1), "layers.0.bias": array(1, dtype="float64")}, "one for all"),
        ({WEIGHT: array(0, np.nan)}, r"layers.0.weight\[1\]: not finite"),
        ({WEIGHT: np.array([[1, np.inf]], np.float32)}, r"layers.0.weight\[0, 1\]: not finite"),
        ({WEIGHT: array()}, r"shape \(0,\) given"),
        ({WEIGHT: np.zeros((1,) * 9, np.float32)}, r"shape \(1, 1, 1, 1, 1, 1, 1, 1, 1\) given"),
        ({WEIGHT: array(1), f"momentum:{WEIGHT}": array(1, 2)}, r"float32 \(2,\) given; allowed"),
        ({WEIGHT: array(1), f"momentum:{WEIGHT}": array(1, dtype="float64")}, "float64 .1,. given"),
        ({WEIGHT: array(1), f"a:b:{WEIGHT}": array(1)}, "slot 'a:b' given"),
        ({WEIGHT: array(1), f":{WEIGHT}": array(1)}, "slot '' given"),
        ({"weight": array(1)}, "parameter 'weight' given"),
        ({"": array(1)}, "parameter '' given"),
        ({"layers.00.weight": array(1)}, "parameter 'layers.00.weight' given"),
        ({"layers.\u00b2.weight": array(1)}, "parameter 'layers.\u00b2.weight' given"),
        ({f"layers.{'9' * 5000}.weight": array(1)}, r"parameter 'layers.9{93}\.\.\.' given"),
        ({"layers.0.\x1b[31mweight\n": array(1)}, r"parameter 'layers.0.\?\[31mweight\?' given"),
    ],
)
def test_what_no_train_state_is_is_refused(
    tensors: dict[str, Array], words: str, tmp_path: Path
) -> None:
    """Even with a digest that is right, and in the format that has none."""
    metadata = {"format": "twofold.checkpoint/1", "step": "1"}
    with pytest.raises(DataError, match=words):
        checkpoint.load(written(tmp_path, tensors, metadata), without_digest=True)
    if all(tensor.dtype in (np.float32, np.float64) for tensor in tensors.values()):
        metadata |= {"format": checkpoint.FORMAT, "digest": digest_as_saved("1", tensors)}
        with pytest.raises(DataError, match=words):
            checkpoint.load(written(tmp_path, tensors, metadata))


def digest_as_saved(step: str, tensors: dict[str, Array]) -> str:
    return checkpoint._digest(checkpoint.FORMAT, step, tensors)


@pytest.mark.parametrize(
    ("dtype", "sizes", "length", "words"),
    [
        ("BF16", [1], 2, "dtype BF16 given"),
        ("F8_E4M3", [1], 1, "dtype F8_E4M3 given"),
        ("F8_E8M0", [1], 1, "dtype F8_E8M0 given"),
        ("F4", [2], 1, "dtype F4 given"),
        ("F32", [1] * 70, 4, "shape .* given"),  # NumPy has 64 dimensions at most
        ("F32", [2**62, 0], 0, "shape .* given"),  # too large for NumPy, though empty
    ],
)
def test_dtypes_and_shapes_that_numpy_lacks_are_refused(
    dtype: str, sizes: list[int], length: int, words: str, tmp_path: Path
) -> None:
    entry = {"dtype": dtype, "shape": sizes, "data_offsets": [0, length]}
    header = json.dumps({"__metadata__": {"step": "1"}, WEIGHT: entry}).encode()
    path = tmp_path / "state.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(length))
    with pytest.raises(DataError, match=words):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (TrainState({WEIGHT: array(np.nan)}, {}, 0), r"layers.0.weight\[0\]: not finite"),
        (TrainState({WEIGHT: array(1, dtype="int32")}, {}, 0), "int32 given"),
        (TrainState({WEIGHT: array(1)}, {}, -1), "step -1 given"),
        (TrainState({WEIGHT: array(1)}, {"momentum": {}}, 0), "differ in layers.0.weight"),
        (TrainState({"w": array(1)}, {}, 0), "parameter 'w' given"),
    ],
)
def test_what_would_not_be_read_is_not_written(
    state: TrainState, words: str, tmp_path: Path
) -> None:
    path = checkpoint.save(state_of(), tmp_path / "state.safetensors")
    before = path.read_bytes()
    with pytest.raises(DataError, match=words):
        checkpoint.save(state, path)
    assert path.read_bytes() == before


def test_the_first_format_is_read_only_by_who_asks_for_it(tmp_path: Path) -> None:
    state = state_of(layers=2)
    tensors = load_file(checkpoint.save(state, tmp_path / "new.safetensors"))
    path = written(tmp_path, tensors, {"format": "twofold.checkpoint/1", "step": "41"})
    with pytest.raises(DataError, match=r"has no digest.*load\(path, without_digest=True\)"):
        checkpoint.load(path)
    assert same_state(checkpoint.load(path, without_digest=True), state)


def same_state(one: TrainState, other: TrainState) -> bool:
    """Whether all that a state holds is the same, order and bits included."""

    def plain(state: TrainState) -> object:
        tables = {"": state.parameters, **state.slots}
        arrays = {
            slot: [(name, a.dtype, a.shape, a.tobytes()) for name, a in table.items()]
            for slot, table in tables.items()
        }
        return arrays, state.step

    return plain(one) == plain(other)


def small_state() -> TrainState:
    parameters = {WEIGHT: array(1.5, -2.0), "layers.0.bias": array(0.25)}
    return TrainState(parameters, {"momentum": {n: 2 * a for n, a in parameters.items()}}, 12)


def test_every_flipped_byte_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    """Every bit of every byte alone, and every byte turned round: DataError or the same state."""
    state = small_state()
    path = checkpoint.save(state, tmp_path / "state.safetensors")
    whole = path.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    unseen = []
    for place in range(len(whole)):
        for flip in (*(1 << bit for bit in range(8)), 0xFF):
            changed = bytearray(whole)
            changed[place] ^= flip
            path.write_bytes(changed)
            try:
                assert same_state(checkpoint.load(path), state), (place, flip)
                unseen.append(place)
            except DataError:
                pass
    assert all(whole[place : place + 1] == b" " for place in unseen)  # padding before the tensors
    assert all(place < header for place in unseen)
    assert len(unseen) < len(whole) / 20


def test_every_cut_and_every_addition_is_refused(tmp_path: Path) -> None:
    path = checkpoint.save(small_state(), tmp_path / "state.safetensors")
    whole = path.read_bytes()
    for changed in (*(whole[:length] for length in range(len(whole))), whole + b"\0"):
        path.write_bytes(changed)
        with pytest.raises(DataError):
            checkpoint.load(path)


def test_tensors_that_change_places_are_refused(tmp_path: Path) -> None:
    """The bytes are all there, each tensor whole: only the names are exchanged."""
    tensors = {"layers.0.weight": array(1, 2), "layers.1.weight": array(3, 4)}
    saved = checkpoint.save(TrainState(tensors, {}, 1), tmp_path / "state.safetensors")
    with safe_open(saved, framework="numpy") as stored:
        metadata = stored.metadata()
    swapped = dict(zip(tensors, reversed(tensors.values()), strict=True))
    with pytest.raises(DataError, match="damaged"):
        checkpoint.load(written(tmp_path, swapped, metadata))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(data=st.data())
def test_whatever_the_bytes_are_only_data_error_comes_out(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Headers of known words in odd places, over bytes of the right length or another."""
    names = st.sampled_from([WEIGHT, f"momentum:{WEIGHT}", "layers.\u00b2.weight", "", "a" * 300])
    numbers = st.sampled_from([0, 1, 2, 4, 8, -1, 2**31, 2**63, 2**64, 1.5, None, "1", True])
    kinds = st.sampled_from(["F32", "F64", "F16", "BF16", "F8_E5M2", "I64", "U8", "BOOL", "F99", 3])
    entry = st.fixed_dictionaries(
        {},
        optional={
            "dtype": kinds,
            "shape": st.one_of(st.lists(numbers, max_size=3), numbers),
            "data_offsets": st.one_of(st.sampled_from([[0, 4], [4, 8], [0, 8]]), numbers),
        },
    )
    likely = st.just({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})
    notes = st.dictionaries(
        st.sampled_from(["format", "step", "digest", "x"]),
        st.sampled_from([checkpoint.FORMAT, "twofold.checkpoint/1", "1", "x", "9" * 30, 7]),
    )
    header = data.draw(st.dictionaries(names, st.one_of(entry, likely), max_size=2))
    if data.draw(st.booleans()):
        header["__metadata__"] = data.draw(notes)
    text = json.dumps(header).encode()
    body = data.draw(st.sampled_from([4, 8, 0, 3])) * b"\x7f"
    path = tmp_path_factory.getbasetemp() / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    with suppress(DataError):
        checkpoint.load(path, without_digest=True)


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices of POSIX")
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(DataError, match="cannot be read: not a regular file"):
            checkpoint.load(path)
