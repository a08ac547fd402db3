"""What a function computes, operation by operation, as one short text: its fingerprint.

Two functions with one fingerprint are the same graph. It is taken by running the function once,
operation by operation, on copies: that takes milliseconds, where tracing it for a compiler first
loads that compiler.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@final
class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    """Writes down every operation of ATen that is called while it is active.

    A tensor is named by the order in which it came up. One that is neither given nor computed is a
    constant of the graph, and is written down with its values.
    """

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._digest = hashlib.sha256()
        self._known: dict[int, tuple[int, Tensor]] = {}  # kept alive, so that no id comes again
        for tensor in given:
            self._write(f"given {self._number(tensor)} {_layout(tensor)}")

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here; with True, PyTorch 2.13 would load Dynamo for every mode."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Write down the operation and do it."""
        self._write(f"{func} {self._word(args)} {self._word(kwargs or {})}")
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, Tensor):
                self._write(f"made {self._number(each)} {_layout(each)}")
        return result

    def fingerprint(self, result: Any) -> str:
        """What was written so far, and which tensors are the result, in 64 hexadecimal digits."""
        self._write(f"result {self._word(result)}")
        return self._digest.hexdigest()

    def _write(self, line: str) -> None:
        self._digest.update(line.encode())
        self._digest.update(b"\n")

    def _number(self, tensor: Tensor) -> int:
        return self._known.setdefault(id(tensor), (len(self._known), tensor))[0]

    def _word(self, value: Any) -> str:
        """An argument as text."""
        if isinstance(value, Tensor):
            if id(value) not in self._known:
                values = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                digest = hashlib.sha256(values.numpy().tobytes()).hexdigest()
                self._write(f"constant {self._number(value)} {_layout(value)} {digest}")
            return f"%{self._number(value)}"
        if isinstance(value, (tuple, list)):
            return f"({', '.join(map(self._word, value))})"
        if isinstance(value, dict):
            return self._word([*value.items()])
        return repr(value)


def _layout(tensor: Tensor) -> str:
    shape, stride = tuple(tensor.shape), tensor.stride()
    return f"{tensor.dtype} {tensor.device} {shape} {stride}"


def fingerprint(function: Callable[..., Any], tensors: Sequence[Tensor]) -> str:
    """The fingerprint of a function of tensors, which it may change: it is given copies.

    Random numbers that it draws are put back.
    """
    tape = Tape(tensors)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), tape:
        result = function(*tensors)
    return tape.fingerprint(result)
