"""Checkpoints: bit for bit there and back, and a sentence for every broken file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from twofold.errors import DataError
from twofold.problem import checkpoint
from twofold.problem.state import TrainState


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
    """Negative zero, subnormals, infinity and a NaN's payload."""
    bits = np.array([0x80000000, 0x00000001, 0x7F800000, 0x7FC12345], np.uint32)
    state = TrainState({"layers.0.weight": bits.view(np.float32)}, {}, 0)
    loaded = checkpoint.load(checkpoint.save(state, tmp_path / "state.safetensors"))
    np.testing.assert_array_equal(loaded.parameters["layers.0.weight"].view(np.uint32), bits)


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


@pytest.mark.parametrize(
    ("names", "metadata", "words"),
    [
        (["layers.0.weight"], None, "format None given"),
        (["layers.0.weight"], {"format": "other", "step": "1"}, "format 'other' given"),
        (["layers.0.weight"], {"format": checkpoint.FORMAT, "step": "-1"}, "step '-1' given"),
        (["layers.0.weight"], {"format": checkpoint.FORMAT}, "step '' given"),
        (["momentum:layers.0.weight"], {"format": checkpoint.FORMAT, "step": "1"}, "no parameters"),
        (
            ["layers.0.weight", "layers.0.bias", "momentum:layers.0.bias"],
            {"format": checkpoint.FORMAT, "step": "1"},
            "slot momentum and the parameters differ in layers.0.weight",
        ),
    ],
)
def test_foreign_files_are_refused(
    names: list[str], metadata: dict[str, str] | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({name: np.zeros(2, np.float32) for name in names}, path, metadata)
    with pytest.raises(DataError, match=words):
        checkpoint.load(path)
