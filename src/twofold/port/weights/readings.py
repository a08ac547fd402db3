"""What a tensor is by the kind of the layer that holds it: its role, and what its axes mean.

A reading has one text for each dimension: labels such as "out", "in", "h"; "out.heads" and
"out.dim" are the parts of "out", slowest first; "(out.group in)" is one dimension made of two;
a minus marks an axis that the layer runs along backwards. Two tensors of one role then correspond
by their labels, whatever their layouts.

Layouts are those of torch 2.13 (`torch/nn/modules`) and flax 0.12 (`flax/nnx/nn`, `flax/linen`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, final

from twofold.port.side import Tensor
from twofold.port.weights.pieces import Piece, along

Reading: TypeAlias = tuple[str, ...]


@final
@dataclass(frozen=True)
class Part:
    """A piece of a tensor as its layer means it; several pieces where the layer adds them.

    `role` is "kernel", "bias", "scale" and so on, "" if unknown; `reading` None if unknown;
    `path` is where a layer of the other side would hold it.
    """

    pieces: tuple[Piece, ...]
    role: str
    reading: Reading | None
    path: str


_SPATIAL: Final = ("d", "h", "w")
_NORM: Final = {"weight": "scale", "scale": "scale", "bias": "norm bias"}
_STATISTICS: Final = {
    "running_mean": "mean",
    "mean": "mean",
    "running_var": "variance",
    "var": "variance",
    "num_batches_tracked": "count",
}
_PROJECTIONS: Final = ("query", "key", "value")


def parts_of(tensor: Tensor) -> tuple[Part, ...]:
    """What a tensor consists of, by its owner; one part without a role for an unknown owner."""
    kind = tensor.owner.rpartition(".")[2]
    if kind in ("MultiheadAttention",):
        found = tuple(_attention(tensor))
    else:
        found = tuple(_single(tensor, kind))
    return found or (Part((Piece(tensor.name),), "", None, tensor.name),)


def _single(tensor: Tensor, kind: str) -> Iterator[Part]:
    role, reading = _layer(tensor, kind)
    if role:
        yield Part((Piece(tensor.name),), role, reading, f"{tensor.module}.{role}".lstrip("."))


def _layer(tensor: Tensor, kind: str) -> tuple[str, Reading | None]:
    leaf, rank = tensor.leaf, tensor.value.ndim
    space = _SPATIAL[max(0, 5 - rank) :]
    if kind.startswith("ConvTranspose"):
        return _transposed(tensor, leaf, space)
    if kind in ("Linear", "Conv1d", "Conv2d", "Conv3d") and leaf == "weight":
        return "kernel", ("out", "in", *(space if kind != "Linear" else ()))
    if kind in ("Linear", "Dense", "Conv") and leaf == "kernel":
        return "kernel", ((*space, "in", "out") if kind == "Conv" else ("in", "out"))
    if kind in ("LinearGeneral", "DenseGeneral"):
        return _general(tensor, leaf)
    if kind in ("Linear", "Dense", "Conv", "Conv1d", "Conv2d", "Conv3d") and leaf == "bias":
        return "bias", ("out",)
    if kind in ("Embedding", "Embed") and leaf in ("weight", "embedding"):
        return "embedding", ("vocab", "dim")
    if "Norm" in kind:
        role = _NORM.get(leaf) or _STATISTICS.get(leaf, "")
        return role, ("channels",) if rank == 1 else None
    if kind in ("LSTM", "LSTMCell", "GRU", "GRUCell", "RNN", "RNNCell"):
        kernel = leaf.startswith("weight_")
        return ("kernel", ("out", "in")) if kernel else ("bias", ("out",))
    if kind == "PReLU":
        return "slope", None
    return "", None


def _transposed(tensor: Tensor, leaf: str, space: Reading) -> tuple[str, Reading | None]:
    """PyTorch's kernel is the one of the convolution whose gradient it is; Flax's is not turned."""
    backwards = tuple(f"-{axis}" for axis in space)
    if leaf == "bias":
        return "bias", ("out",)
    if leaf == "weight":
        if tensor.attributes.get("groups", 1) == 1:
            return "kernel", ("in", "out", *backwards)
        return "kernel", (f"(out.group={tensor.attributes['groups']} in)", "out.each", *backwards)
    if tensor.attributes.get("transpose_kernel"):
        return "kernel", (*backwards, "out", "in")
    return "kernel", (*space, "in", "out")


def _general(tensor: Tensor, leaf: str) -> tuple[str, Reading | None]:
    """Several input or output axes: as many input axes as are summed over."""
    rank, names = tensor.value.ndim, ("heads", "dim", "third")
    summed = tensor.attributes.get("axis", -1)
    taken = len(summed) if isinstance(summed, tuple | list) else 1
    taken = taken if leaf == "kernel" else 0
    inner = [f"in.{name}" for name in names[:taken]] if taken > 1 else ["in"] * taken
    outer = [f"out.{name}" for name in names[: rank - taken]] if rank - taken > 1 else ["out"]
    return ("kernel" if leaf == "kernel" else "bias"), (*inner, *outer[: rank - taken])


def _attention(tensor: Tensor) -> Iterator[Part]:
    """`torch.nn.MultiheadAttention`: query, key and value in one tensor, or in three."""
    leaf, place = tensor.leaf, tensor.module
    if leaf in ("in_proj_weight", "in_proj_bias"):
        role, reading = (
            ("kernel", ("out", "in")) if leaf == "in_proj_weight" else ("bias", ("out",))
        )
        size = tensor.value.shape[0] // 3
        for index, name in enumerate(_PROJECTIONS):
            piece = along(tensor.name, 0, index * size, (index + 1) * size)
            yield Part((piece,), role, reading, f"{place}.{name}.{role}")
    for name in _PROJECTIONS:
        if leaf == f"{name[0]}_proj_weight":
            yield Part((Piece(tensor.name),), "kernel", ("out", "in"), f"{place}.{name}.kernel")


def renamed(part: Part, stack: int) -> Part:
    """The part of one layer of a stack: the leading axis of its tensor is taken at `stack`."""
    pieces = tuple(replace(piece, index=(stack, *piece.index)) for piece in part.pieces)
    return replace(part, pieces=pieces)
