"""Exported models: other programs compute what the oracle says, or no file is written."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from twofold.backends import description
from twofold.cli.app import app
from twofold.engines.registry import open_session
from twofold.errors import (
    BadInput,
    EngineFailed,
    FrameworkMissing,
    NothingShown,
    ParityDiverges,
    ResultError,
    SpecError,
)
from twofold.problem.data import prepare
from twofold.problem.state import Array, TrainState
from twofold.runs import export as room
from twofold.runs import model_file
from twofold.runs.export import export, format_names
from twofold.runs.model_file import Model
from twofold.spec.experiment import Experiment

RUNNER = CliRunner()
FORMATS = ("torch-export", "onnx", "jax-export")


def trained(folder: Path, name: str, engine: str = "torch:eager", **values: object) -> Model:
    """Some steps of a small experiment, so that no weight is what it began with."""
    session = open_session(prepare(Experiment.load(name).with_values(**values)), engine)
    session.run(session.problem.steps_per_epoch)
    return model_file.load(model_file.save(session, folder / "model.safetensors"))


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    folder = tmp_path_factory.mktemp("diabetes")
    return folder / "model.safetensors", trained(
        folder, "diabetes", model__hidden=[16], model__activation="relu"
    )


def by_hand(model: Model, inputs: Array) -> Array:
    """The logits of one hidden layer with ReLU, in float64."""
    first, bias, second, last = (
        model.state.parameters[f"layers.{layer}.{name}"].astype(np.float64)
        for layer in (0, 1)
        for name in ("weight", "bias")
    )
    hidden = np.maximum(inputs.astype(np.float64) @ first.T + bias, 0)
    return np.asarray(hidden @ second.T + last)


def of_torch(data: bytes) -> Callable[[Array], Array]:
    import torch

    model = torch.export.load(io.BytesIO(data)).module()
    return lambda rows: model(torch.from_numpy(rows)).detach().numpy()  # type: ignore[no-any-return]


def of_onnxruntime(data: bytes) -> Callable[[Array], Array]:
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(data)
    (given,) = session.get_inputs()
    assert given.shape == ["batch", 10]
    return lambda rows: session.run(None, {given.name: rows})[0]  # type: ignore[no-any-return]


def of_jax(data: bytes) -> Callable[[Array], Array]:
    from jax import export as jax_export

    loaded = jax_export.deserialize(bytearray(data))
    assert loaded.platforms == ("cpu", "cuda")
    return lambda rows: np.asarray(loaded.call(rows))


READERS = {"torch-export": of_torch, "onnx": of_onnxruntime, "jax-export": of_jax}


def test_the_formats_are_those_of_the_backends() -> None:
    assert format_names() == FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_computes_the_network_for_any_number_of_rows(
    name: str, diabetes: tuple[Path, Model], tmp_path: Path
) -> None:
    """Loaded here by the framework alone; NumPy computes the logits."""
    model = diabetes[1]
    found = export(model, tmp_path / "file", name)
    data = (tmp_path / "file").read_bytes()
    assert (found.format, found.size, found.rows) == (name, len(data), "88 test rows")
    assert 0 < found.worst_ratio < 1
    assert not found.vacuous
    logits = READERS[name](data)
    inputs = np.random.default_rng(1).normal(size=(300, 10)).astype(np.float32)
    for rows in (1, 2, 3, 300):
        computed = logits(inputs[:rows])
        assert computed.dtype == np.float32
        np.testing.assert_allclose(computed, by_hand(model, inputs[:rows]), rtol=1e-4, atol=1e-5)
    here = str(Path(room.__file__).parents[3]).encode()
    assert here not in data
    assert b".py" not in data


EXPERIMENTS = [
    pytest.param("tabular-resnet", {}, id="batch norm, residuals"),
    pytest.param("tabular-categories", {}, id="embedding"),
    pytest.param("lesson", {"data__rows": 300, "model__norm": "layer_norm"}, id="no test rows"),
    pytest.param("digits", {"precision": "float64", "model__activation": "gelu"}, id="float64"),
    pytest.param(
        "digits", {"precision": "mixed_bfloat16", "model__activation": "sigmoid"}, id="mixed"
    ),
]


@pytest.mark.parametrize(("name", "values"), EXPERIMENTS)
@pytest.mark.parametrize("format_", FORMATS)
def test_every_kind_of_model_holds(
    format_: str, name: str, values: dict[str, object], tmp_path: Path
) -> None:
    model = trained(tmp_path, name, **values)
    precision = model.experiment.precision
    if format_ == "onnx" and precision != "float32":
        words = f"precision: '{precision}' given; the format onnx allows 'float32'; take another"
        with pytest.raises(SpecError, match=words):
            export(model, tmp_path / "file", format_)
        assert not (tmp_path / "file").exists()
        return
    found = export(model, tmp_path / "file", format_)
    assert 0 < found.worst_ratio < 1
    assert found.size == (tmp_path / "file").stat().st_size


@pytest.mark.parametrize(
    ("engine", "format_", "writer"),
    [
        ("flax:jit", "torch-export", "PyTorch"),
        ("torch:eager", "jax-export", "Flax"),
        ("flax:jit", "jax-export", "Flax"),
        ("equinox:jit", "jax-export", "Equinox"),
    ],
)
def test_the_models_own_backend_writes_it_if_it_can(
    engine: str, format_: str, writer: str, tmp_path: Path
) -> None:
    model = trained(tmp_path, "diabetes", engine, model__hidden=[4])
    assert export(model, tmp_path / "file", format_).backend == writer


def bent(change: Callable[[str, Array], Array]) -> Callable[[str], Any]:
    """A way to load parts of backends that gives every writer changed weights."""
    load = room.load_part

    def load_bent(target: str) -> Any:
        part = load(target)
        if ":write" not in target and ":export" not in target:
            return part

        def write(problem: Any, state: TrainState) -> bytes:
            weights = {name: change(name, array) for name, array in state.parameters.items()}
            return bytes(part(problem, replace(state, parameters=weights)))

        return write

    return load_bent


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_with_another_weight_is_not_written(
    name: str,
    diabetes: tuple[Path, Model],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One bias is off by a ten-thousandth; what stood there stays."""
    target = tmp_path / "file"
    target.write_bytes(b"before")
    change = bent(lambda name, array: array + np.float32(1e-4 * (name == "layers.1.bias")))
    monkeypatch.setattr(room, "load_part", change)
    with pytest.raises(ParityDiverges) as caught:
        export(diabetes[1], target, name)
    words = str(caught.value)
    assert f"format {name}: nothing written, for on 88 test rows the file does not" in words
    assert "worst at logits[" in words
    assert "times as far as allowed" in words
    assert target.read_bytes() == b"before"
    found = RUNNER.invoke(app, ["export", str(diabetes[0]), "-o", str(target), "--format", name])
    assert isinstance(found.exception, ParityDiverges)
    assert found.exception.exit_code == 1
    assert target.read_bytes() == b"before"


def test_a_file_of_one_size_of_batch_is_not_written(
    diabetes: tuple[Path, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a trace of an example with a fixed number of rows would be."""
    load = room.load_part

    def load_part(target: str) -> Any:
        part = load(target)
        if ":read" not in target:
            return part

        def read(path: Path) -> Callable[[Array], Array]:
            logits: Callable[[Array], Array] = part(path)

            def of_two(rows: Array) -> Array:
                if len(rows) != 2:
                    raise ValueError(f"expected 2 rows, got {len(rows)}\nand more")
                return logits(rows)

            return of_two

        return read

    monkeypatch.setattr(room, "load_part", load_part)
    with pytest.raises(EngineFailed) as caught:
        export(diabetes[1], tmp_path / "file", "torch-export")
    assert str(caught.value) == (
        "format torch-export: the model could not be run: ValueError: expected 2 rows, got 1"
    )
    assert not (tmp_path / "file").exists()


def test_weights_beyond_what_the_bounds_can_judge_are_not_written(
    diabetes: tuple[Path, Model], tmp_path: Path
) -> None:
    model = diabetes[1]
    huge = {name: array * np.float32(1e30) for name, array in model.state.parameters.items()}
    with pytest.raises(NothingShown, match="nothing written, for the logits of 88 test rows"):
        export(
            replace(model, state=replace(model.state, parameters=huge)),
            tmp_path / "file",
            "torch-export",
        )
    assert not (tmp_path / "file").exists()


def test_what_a_person_can_mend_is_said(
    diabetes: tuple[Path, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = diabetes
    with pytest.raises(BadInput) as unknown:
        export(model, tmp_path / "file", "pickle")
    assert str(unknown.value) == (
        "--format: 'pickle' given; allowed is torch-export, onnx, jax-export"
    )
    nowhere = str(tmp_path / "none" / "file")
    found = RUNNER.invoke(app, ["export", str(path), "-o", nowhere, "--format", "onnx"])
    assert isinstance(found.exception, ResultError)
    found = RUNNER.invoke(app, ["export", __file__, "-o", str(tmp_path / "x"), "--format", "onnx"])
    assert "not a whole safetensors file" in str(found.exception)
    all_there = description._missing
    monkeypatch.setattr(
        description,
        "_missing",
        lambda names: tuple(n for n in names if n.startswith("onnx")) or all_there(names),
    )
    with pytest.raises(FrameworkMissing) as caught:
        export(model, tmp_path / "file", "onnx")
    assert str(caught.value) == (
        "format onnx: onnx, onnxscript, onnxruntime not installed; "
        "install with: pip install 'twofold[export]'"
    )


def test_the_command_says_what_it_wrote(diabetes: tuple[Path, Model], tmp_path: Path) -> None:
    target = tmp_path / "model.pt2"
    arguments = ["export", str(diabetes[0]), "-o", str(target), "--format", "torch-export"]
    found = RUNNER.invoke(app, arguments)
    assert found.exit_code == 0, found.output
    size = target.stat().st_size
    assert f"written: {target} (torch-export by PyTorch, {size:,} bytes)" in found.output
    assert "of the oracle's bounds on 88 test rows" in found.output
