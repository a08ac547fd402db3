"""Every operation of a PyTorch run that depends on the batch, as ATen dispatches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from twofold.port.calling import own_line
from twofold.port.side import Array
from twofold.port.where.operations import Recorder
from twofold_torch.port.places import Places

MOVES: Final = frozenset(
    (
        *("view", "_unsafe_view", "reshape", "_reshape_alias", "t", "transpose", "permute"),
        *("expand", "unsqueeze", "squeeze", "select", "slice", "split", "split_with_sizes"),
        *("chunk", "unbind", "narrow", "as_strided", "alias", "detach", "clone", "contiguous"),
        *("_to_copy", "lift_fresh", "copy_", "flip", "roll", "cat", "stack", "repeat"),
    )
)
EMPTY: Final = frozenset(("empty_like", "new_empty", "new_empty_strided"))
"""Operations on a tensor that return memory which nothing was written to yet."""


@final
class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that records; the batch and forced outputs are what it starts from."""

    def __init__(self, places: Places, batch: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = Recorder()
        self._places = places
        self._fast = True
        places.recorder = self.recorder
        for value in _tensors(batch):
            self.recorder.source(value)

    def __enter__(self) -> Operations:
        # The fast path of attention is one operation, which shows nothing of what is inside.
        self._fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        torch.backends.mha.set_fastpath_enabled(self._fast)
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.recorder.add(
            name,
            _tensors((args, kwargs)),
            _tensors(out),
            line=own_line,
            module=self._places.current,
            moves=name in MOVES,
            numbers=_no_numbers if name in EMPTY else _numbers,
            constants=[v for v in tree_leaves((args, kwargs)) if type(v) in (int, float)],
        )
        return out


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [value for value in tree_leaves(tree) if isinstance(value, torch.Tensor)]


def _numbers(value: torch.Tensor) -> Array:
    plain = value.detach()
    return np.asarray((plain.double() if plain.is_floating_point() else plain).numpy())


def _no_numbers(_: torch.Tensor) -> Array:
    return np.zeros(0)
