"""The order in which a PyTorch program uses its tensors, and what it does with their axes.

Operations are seen as ATen dispatches them (`torch.utils._python_dispatch`). Parameters are known
by identity or by storage, and followed through views and copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from twofold.port.weights.use import Front, Operation, Recorder, Use
from twofold.port.weights.views import Seen

_SAME: Final = {
    "alias",
    "clone",
    "detach",
    "_to_copy",
    "contiguous",
    "lift_fresh",
    "slice",
    "split",
    "split_with_sizes",
    "chunk",
    "narrow",
    "expand",
}
_RESHAPED: Final = {
    "view",
    "_unsafe_view",
    "reshape",
    "_reshape_alias",
    "repeat",
    "as_strided",
    "unsqueeze",
    "squeeze",
}
_MOVED: Final = {"t", "transpose", "permute", "flip", "select", "unbind"}
_SPACE: Final = ("d", "h", "w")
_PRODUCTS: Final = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1, "addbmm": 1, "mv": 0, "addmv": 1}


def uses_of(run: Callable[[], object], tensors: Mapping[str, torch.Tensor]) -> tuple[Use, ...]:
    """Every first use of the tensors while `run` runs, without gradients.

    `tensors` are the parameters and buffers that the program uses, under every name that they have.
    """
    tracer = _Tracer(tensors)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), tracer:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return tracer.recorder.uses


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = Recorder()
        self._refs: MutableMapping[torch.Tensor, Seen] = _by_identity()
        self._fronts: MutableMapping[torch.Tensor, Front] = _by_identity()
        self._by_storage: dict[tuple[int, torch.Size], str] = {}
        self._other_names: dict[str, str] = {}
        for name, tensor in tensors.items():
            key = (tensor.data_ptr(), tensor.shape)
            first = self._by_storage.setdefault(key, name) if tensor.numel() else name
            if first != name:
                self._other_names.setdefault(first, name)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        operation = func.overloadpacket.__name__
        inputs = list(_tensors((args, kwargs)))
        outputs = list(_tensors(out))
        refs = [self._ref(tensor) for tensor in inputs]
        looks = bool(args) and isinstance(args[0], torch.Tensor)
        if looks and refs[0] is not None and self._follow(operation, args, refs[0], outputs):
            return out
        front = self.recorder.nearest(
            *(self._fronts.get(t, 0) for t, ref in zip(inputs, refs, strict=True) if ref is None)
        )
        front = self._used(operation, args, refs, front)
        for tensor in outputs:
            self._fronts[tensor] = front
        return out

    def _ref(self, tensor: torch.Tensor) -> Seen | None:
        if tensor in self._refs:
            return self._refs[tensor]
        if tensor in self._fronts or not tensor.numel():
            return None
        name = self._by_storage.get((tensor.data_ptr(), tensor.shape))
        return Seen.whole(name, tensor.ndim) if name else None

    def _follow(
        self, operation: str, args: tuple[Any, ...], ref: Seen, outputs: list[torch.Tensor]
    ) -> bool:
        """Whether the operation only looks at a tensor in another way; then results are known."""
        for place, tensor in enumerate(outputs):
            seen = _seen(operation, args, ref, tensor, place)
            if seen is None:
                return False
            self._refs[tensor] = seen
        return bool(outputs)

    def _used(
        self, operation: str, args: tuple[Any, ...], refs: list[Seen | None], front: Front
    ) -> Front:
        place, kind, labels = _meaning(operation, args)
        if place and kind == "contract" and refs[place] is None and refs[place - 1] is not None:
            place, labels = place - 1, (*labels[:-2], "out", "in")  # the kernel stands first
        order = sorted(range(len(refs)), key=lambda index: index != place)
        if "rnn_layer" in operation:
            return self._recurrent(refs, front)
        if "batch_norm" in operation:
            return self._normalized([ref for ref in refs[1:] if ref is not None], refs, front)
        first = front
        for index in order:
            ref = refs[index]
            if ref is None:
                continue
            axes = ref.axes(labels) if index == place else ()
            known = kind if index == place else ""
            # A bias comes behind its kernel, a shift behind its scale.
            before = front if place is not None or "norm" in operation else first
            used = self._record(ref, before, known, axes)
            front = used if before is front else self.recorder.nearest(front, used)
        return front

    def _recurrent(self, refs: list[Seen | None], front: Front) -> Front:
        """Kernels of the input and the state, then their biases, each behind its kernel."""
        kernels = [self._record(ref, front) for ref in refs[1:3] if ref is not None]
        after = list(kernels)
        for ref, kernel in zip(refs[3:5], kernels, strict=False):
            if ref is not None:
                after.append(self._record(ref, kernel))
        return self.recorder.nearest(*after)

    def _normalized(self, known: list[Seen], refs: list[Seen | None], front: Front) -> Front:
        """(x - mean) * (rsqrt(variance) * scale) + bias, in this order."""
        scale, bias, mean, variance = (*refs[1:5], None, None, None, None)[:4]
        if len(known) != sum(ref is not None for ref in (scale, bias, mean, variance)):
            scale, bias, mean, variance = (*known, None, None, None, None)[:4]
        factor: Front | None = None
        if mean is not None:
            front = self._record(mean, front)
        if variance is not None:
            factor = self._record(variance, 0)
        if scale is not None:
            factor = self._record(scale, front if factor is None else factor)
        front = self.recorder.nearest(front, factor or 0)
        return front if bias is None else self._record(bias, front)

    def _record(
        self, ref: Seen, front: Front, operation: Operation = "", axes: tuple[str, ...] = ()
    ) -> Front:
        return self.recorder.use(
            ref.name,
            ref.part,
            front,
            operation,
            axes,
            other_name=self._other_names.get(ref.name),
        )


def _by_identity() -> Any:
    """A mapping whose keys are tensors, which it does not keep alive."""
    return WeakIdKeyDictionary()


def _tensors(tree: object) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from _tensors(value)


def _seen(
    operation: str, args: tuple[Any, ...], ref: Seen, out: torch.Tensor, place: int
) -> Seen | None:
    """The tensor behind the result at a place; None if the operation computes something."""
    old, new = tuple(args[0].shape), tuple(out.shape)
    count = len(old)
    if operation in _SAME:
        return ref if count == len(new) else ref.lost()
    if operation in _RESHAPED:
        return ref.reshaped(old, new)
    if operation not in _MOVED or ref.dims is None:
        return ref if operation in _MOVED else None
    if operation == "t":
        return ref.permuted(range(count - 1, -1, -1))
    if operation == "transpose":
        order = list(range(count))
        one, other = args[1] % count, args[2] % count
        order[one], order[other] = other, one
        return ref.permuted(order)
    if operation == "permute":
        return ref.permuted([axis % count for axis in args[1]])
    if operation == "flip":
        return ref.reversed([axis % count for axis in args[1]])
    axis = args[1] % count if len(args) > 1 else 0
    if axis == 0 and ref.is_whole and old[0] > 1:
        return ref.layer(place if operation == "unbind" else int(args[2]) % old[0])
    return ref.without(axis)


def _meaning(
    operation: str, args: tuple[Any, ...]
) -> tuple[int | None, Operation, tuple[str, ...]]:
    """Which of the tensors given is a kernel or a table, and what its dimensions are."""
    if operation == "convolution":
        space = _SPACE[5 - args[1].ndim :]
        if not args[6]:
            return 1, "convolve", ("out", "in", *space)
        back = tuple(f"-{axis}" for axis in space)
        if args[8] == 1:
            return 1, "convolve", ("in", "out", *back)
        return 1, "convolve", (f"(out.group={args[8]} in)", "out.each", *back)
    if operation in _PRODUCTS:
        first = _PRODUCTS[operation]
        rank = args[first + 1].ndim
        labels = ("batch", "in", "out")[3 - rank :] if rank > 1 else ("in",)
        return first + 1, "contract", labels
    if operation in ("embedding", "index", "index_select") and args[0].ndim == 2:
        return 0, "gather", ("vocab", "dim")
    return None, "", ()
