"""PyTorch below autograd: casts kept in float64, dropout masks exchanged, draws named.

A `TorchDispatchMode` sees every operation of forward and backward. What a model narrows itself
(`.float()`, `dtype=torch.float32`, `softmax(dtype=...)`, float32 constants) is kept in float64 and
reported with its line. The mask of a dropout on the CPU is drawn by `bernoulli_` (PyTorch 2.13,
aten/src/ATen/native/Dropout.cpp), also in attention, whose fused kernels take no dropout there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
import torch._dynamo  # a dispatch mode loads it with its first operation, which takes a second
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from twofold.port.calling import own_line
from twofold.port.side import Cast, Mask, MasksDoNotFit

NARROW: Final = (torch.float32, torch.bfloat16, torch.float16)
DRAWS: Final = frozenset(
    (
        *("rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm"),
        *("normal", "normal_", "uniform_", "bernoulli", "multinomial", "poisson", "random_"),
        *("exponential_", "geometric_", "log_normal_", "cauchy_"),
    )
)


@final
class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What happens below autograd while a module runs; `wide` keeps casts in float64."""

    def __init__(self, *, wide: bool, masks: Sequence[Mask] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Counter[tuple[str, str, str]] = Counter()
        self.drawn: list[str] = []
        self.masks: list[Mask] = []
        self._wide = wide
        self._given = None if masks is None else list(masks)
        self._every_unit = masks is not None and not masks

    @property
    def casts(self) -> tuple[Cast, ...]:
        """Every place that narrowed, with how often it did."""
        return tuple(Cast(*place, count) for place, count in self.found.items())

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        operation = func.overloadpacket.__name__
        if operation == "bernoulli_":
            return self._masked(func, args, named)
        if operation in DRAWS:
            self.drawn.append(f"{operation} at {own_line() or 'an unknown line'}")
        if self._wide:
            args, named = self._widened(operation, args, named)
        return func(*args, **named)

    def _widened(
        self, operation: str, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if named.get("dtype") in NARROW:
            source = args[0].dtype if args and isinstance(args[0], torch.Tensor) else None
            self._note(source, named["dtype"])
            named["dtype"] = torch.float64
        if operation in ("_softmax", "_log_softmax") and args[2]:
            self._note(args[0].dtype, torch.float32)
            args = (args[0], args[1], False)
        if operation.endswith("_") and isinstance(args[0], torch.Tensor):
            return args, named  # written in place: its type is its own
        return tree_map(self._operand, args), named

    def _operand(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype in NARROW:
            self._note(None, value.dtype)
            return value.to(torch.float64)
        return value

    def _note(self, source: torch.dtype | None, target: torch.dtype) -> None:
        where = own_line()
        if where:  # the backward pass runs without a line: its forward line is known already
            start = "constant" if source is None else str(source).removeprefix("torch.")
            self.found[where, start, str(target).removeprefix("torch.")] += 1

    def _masked(
        self, func: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]
    ) -> torch.Tensor:
        target: torch.Tensor = args[0]
        keep = args[1] if len(args) > 1 else named.get("p", 0.5)
        if self._given is None or not isinstance(keep, float):
            func(*args, **named)
        elif self._every_unit:
            target.fill_(1.0)
        else:
            target.copy_(torch.from_numpy(self._next(tuple(target.shape))))
        kept = target.detach().bool().numpy().copy()
        self.masks.append(Mask(kept, float(keep) if isinstance(keep, float) else float("nan")))
        return target

    def _next(self, shape: tuple[int, ...]) -> Any:
        given = self._given or []
        place = len(self.masks)
        if place >= len(given) or given[place].kept.shape != shape:
            raise MasksDoNotFit(
                f"dropout {place + 1} at {own_line()}: no mask of shape {shape} given"
            )
        return given[place].kept
