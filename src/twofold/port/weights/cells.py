"""Recurrent cells: gates packed or apart, and PyTorch's two biases where Flax has one.

The order of gates is that of the sources: input, forget, cell, output in
`torch.nn.LSTM`, `flax.nnx.OptimizedLSTMCell` and Linen's cells; reset, update, new in the GRUs.
PyTorch adds a bias to each product; Flax's LSTM has the one of the hidden state, its GRUs that of
the input (Linen's also one for the hidden state's new gate, which the reset gate multiplies).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from twofold.port.side import Tensor
from twofold.port.weights.pieces import Piece, along
from twofold.port.weights.readings import Part, parts_of

_GATES: Final = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n"), "rnn": ("h",)}
_KINDS: Final = {
    "torch.nn.LSTM": "lstm",
    "torch.nn.LSTMCell": "lstm",
    "torch.nn.GRU": "gru",
    "torch.nn.GRUCell": "gru",
    "torch.nn.RNN": "rnn",
    "torch.nn.RNNCell": "rnn",
    "flax.nnx.LSTMCell": "lstm",
    "flax.nnx.OptimizedLSTMCell": "lstm",
    "flax.nnx.GRUCell": "gru",
    "flax.nnx.SimpleCell": "rnn",
    "flax.linen.LSTMCell": "lstm",
    "flax.linen.OptimizedLSTMCell": "lstm",
    "flax.linen.GRUCell": "gru",
    "flax.linen.SimpleCell": "rnn",
}
_TORCH: Final = re.compile(r"(?P<what>weight|bias)_(?P<source>ih|hh)(?P<layer>.*)")
_SOURCE: Final = {"ih": "input", "hh": "hidden", "i": "input", "h": "hidden"}


def all_parts(
    tensors: Mapping[str, Tensor], modules: Mapping[str, str], *, gates: bool
) -> Iterator[Part]:
    """The parts of all tensors; those of recurrent cells gate by gate if `gates` is set."""
    cells = parts_of_cells(tensors, modules) if gates else {}
    for name, tensor in tensors.items():
        yield from cells[name] if name in cells else parts_of(tensor)


def parts_of_cells(
    tensors: Mapping[str, Tensor], modules: Mapping[str, str]
) -> dict[str, tuple[Part, ...]]:
    """The parts of every tensor that belongs to a recurrent cell, by the tensor's name.

    `modules` are the kinds of all modules by path: a gate's matrix lies in a layer of its own.
    """
    found: dict[str, tuple[Part, ...]] = {}
    for name, tensor in tensors.items():
        path = tensor.module
        while path not in modules or modules[path] not in _KINDS:
            if not path:
                break
            path = path.rpartition(".")[0]
        else:
            kind = _KINDS[modules[path]]
            if (match := _TORCH.fullmatch(tensor.leaf)) is not None:
                found[name] = tuple(_torch(tensor, kind, match, tensors))
            else:
                found[name] = tuple(_flax(tensor, kind, path))
    return found


def has_cells(modules: Mapping[str, str]) -> bool:
    """Whether a recurrent cell of a library is among the modules."""
    return not _KINDS.keys().isdisjoint(modules.values())


def twin_of(name: str, owner: str) -> str | None:
    """The other bias that PyTorch's cell adds to a bias, by name; None for other tensors."""
    if owner not in _KINDS or not owner.startswith("torch."):
        return None
    module, dot, leaf = name.rpartition(".")
    if leaf.startswith("bias_hh"):
        return module + dot + leaf.replace("bias_hh", "bias_ih", 1)
    if leaf.startswith("bias_ih"):
        return module + dot + leaf.replace("bias_ih", "bias_hh", 1)
    return None


def _pieces(tensor: Tensor, gates: int, axis: int) -> Iterator[Piece]:
    """One piece for each gate along an axis; the whole tensor for a single gate."""
    size = tensor.value.shape[axis] // gates
    for gate in range(gates):
        whole = gates == 1
        yield (
            Piece(tensor.name)
            if whole
            else along(tensor.name, axis, gate * size, (gate + 1) * size)
        )


def _torch(
    tensor: Tensor, kind: str, match: re.Match[str], tensors: Mapping[str, Tensor]
) -> Iterator[Part]:
    gates, source = _GATES[kind], _SOURCE[match["source"]]
    place = f"{tensor.module}{match['layer']}".lstrip(".")
    pieces = list(_pieces(tensor, len(gates), 0))
    for gate, piece in zip(gates, pieces, strict=True):
        if match["what"] == "weight":
            role = f"{kind} {source} {gate} kernel"
            yield Part((piece,), role, ("out", "in"), f"{place}.{role}")
            continue
        apart = kind == "gru" and gate == "n"
        role = f"{kind} {source if apart and source == 'hidden' else 'input'} {gate} bias"
        other = tensors.get(tensor.name.replace("bias_ih", "bias_hh"))
        if apart or other is None:
            yield Part((piece,), role, ("out",), f"{place}.{role}")
        elif source == "input":
            twin = list(_pieces(other, len(gates), 0))[gates.index(gate)]
            yield Part((piece, twin), role, ("out",), f"{place}.{role}")


def _flax(tensor: Tensor, kind: str, place: str) -> Iterator[Part]:
    gates = _GATES[kind]
    leaf, layer = tensor.leaf, tensor.module.rpartition(".")[2].rstrip("_")
    reading = ("in", "out") if leaf == "kernel" else ("out",)
    packed = layer in ("dense_i", "dense_h") or kind == "rnn"
    source = _SOURCE[layer.removeprefix("dense_")[0]]
    names = gates if packed else (layer[1:],)
    axis = tensor.value.ndim - 1
    for gate, piece in zip(names, _pieces(tensor, len(names), axis), strict=True):
        # The one bias of a gate goes by the same role, whichever product it is written at.
        apart = leaf == "bias" and (kind, gate) == ("gru", "n") and source == "hidden"
        side = source if leaf == "kernel" or apart else "input"
        role = f"{kind} {side} {gate} {'kernel' if leaf == 'kernel' else 'bias'}"
        yield Part((piece,), role, reading, f"{place}.{role}".lstrip("."))
