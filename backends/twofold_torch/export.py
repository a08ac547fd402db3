"""A trained model in files that other programs read: of `torch.export`, and ONNX.

Both take inputs (batch, in_features) of any number of rows, as the training saw them, and give
logits. They are traced and run on the processor. Where the model's source lies on this machine,
which PyTorch writes beside each operation, is left out.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from twofold.problem.problem import Problem
from twofold.problem.state import Array, TrainState
from twofold_torch import convert
from twofold_torch.device import pin_matmul_precision
from twofold_torch.model import Network
from twofold_torch.program import build_program

Logits = Callable[[Array], Array]
CPU: Final = torch.device("cpu")
INPUTS, LOGITS = "inputs", "logits"
ROWS: Final = 2  # of the example: a size of 1 would be taken for a constant


def write_program(problem: Problem, state: TrainState) -> bytes:
    """The model as a file of `torch.export.save`."""
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        _trained(problem, state), (_example(problem),), dynamic_shapes=({0: batch},)
    )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def read_program(path: Path) -> Logits:
    """The function of a file of `torch.export.save`."""
    model = torch.export.load(path).module()

    def logits(inputs: Array) -> Array:
        with torch.no_grad():
            return convert.to_array(model(convert.to_tensor(inputs, CPU)))

    return logits


def write_onnx(problem: Problem, state: TrainState) -> bytes:
    """The model in ONNX, its weights within the file."""
    with _quiet():
        program = torch.onnx.export(
            _trained(problem, state),
            (_example(problem),),
            dynamo=True,
            dynamic_shapes=({0: "batch"},),
            input_names=[INPUTS],
            output_names=[LOGITS],
            external_data=False,
            verbose=False,
        )
    assert program is not None  # it is None where a file is asked for
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
    written: bytes = model.SerializeToString()
    return written


def read_onnx(path: Path) -> Logits:
    """The function of an ONNX file, as onnxruntime computes it."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])

    def logits(inputs: Array) -> Array:
        (found,) = session.run([LOGITS], {INPUTS: inputs})
        return found  # type: ignore[no-any-return]  # onnxruntime has no types

    return logits


def _trained(problem: Problem, state: TrainState) -> Network:
    """The model in evaluation mode, with the weights of a state."""
    pin_matmul_precision()
    program = build_program(problem, CPU)
    convert.load_state(program.model, program.optimizer, state)
    model: Network = program.model.eval().requires_grad_(False)
    return model


def _example(problem: Problem) -> torch.Tensor:
    return convert.to_tensor(np.zeros((ROWS, problem.in_features), problem.dtype), CPU)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch 2.13 warns of itself, and the operators of torchvision that are missing.

    `torch/onnx/_internal/exporter/_registration.py` logs these, and its decompositions use what
    `torch/utils/_pytree.py` deprecates.
    """
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        log.setLevel(before)
