"""Batches as a person gives them, in the layout of each side, and as twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from twofold.errors import BadInput
from twofold.port.layouts import Layout, propose
from twofold.port.side import Array
from twofold.port.trees import leaves, mapped
from twofold.port.twins import ULP, nudged

OUTPUT = "output"


@final
class Batches:
    """The batches of a pair and the layouts of their arrays and of the outputs."""

    def __init__(self, batches: Sequence[Any], layouts: Mapping[int | str, str], seed: int) -> None:
        if not batches:
            raise BadInput("batches: none given; allowed are one or more")
        self.batches = [_plain(batch, i) for i, batch in enumerate(batches)]
        self._seed = seed
        parsed = {str(k): Layout.parse(v, f"layouts[{k!r}]") for k, v in layouts.items()}
        self._inputs = {k: v for k, v in parsed.items() if k.partition(".")[0] != OUTPUT}
        self._outputs = {k: v for k, v in parsed.items() if k not in self._inputs}
        known = [path for path, _ in leaves(self.batches[0], _is_array)]
        unknown = [key for key in self._inputs if key not in known]
        if unknown:
            raise BadInput(
                f"layouts: {unknown[0]!r} given; the batch has {', '.join(map(repr, known))}, and "
                '"output" is what the models return'
            )

    def __len__(self) -> int:
        return len(self.batches)

    def original(self, index: int, twin: int = 0, ulp: float = ULP) -> Any:
        """A batch as the original takes it; `twin` 0 is the batch itself.

        Twins keep arrays of whole numbers: they are labels, masks or counts, exact in every
        precision, and a loss may ask whether one of them equals 1.
        """

        def twins(path: str, item: Array) -> Array:
            wide = _wide(item)
            return wide if _whole(wide) else nudged(wide, self._seed, f"batch {path}", twin, ulp)

        return mapped(self.batches[index % len(self)], twins)

    def port(self, index: int, twin: int = 0, ulp: float = ULP) -> Any:
        """The same batch as the port takes it."""

        def turned(path: str, item: Array) -> Array:
            layout = self._inputs.get(path)
            return item if layout is None else layout.to_port(item, path)

        return mapped(self.original(index, twin, ulp), turned)

    def output_layout(self, path: str) -> Layout | None:
        """The layout of an output by its path in the original."""
        return self._outputs.get(f"{OUTPUT}.{path}" if path else OUTPUT, self._outputs.get(OUTPUT))

    def proposal(self) -> str:
        """A sentence that proposes layouts for arrays that may need one; "" for none."""
        wanted = {
            path: "NCHW->NHWC" if item.ndim == 4 else "NCDHW->NDHWC"
            for path, item in leaves(self.batches[0], _is_array)
            if item.ndim in (4, 5) and item.dtype.kind == "f" and path not in self._inputs
        }
        if not wanted or self._inputs:
            return ""
        shown = ", ".join(f"{_key(path)}: {layout!r}" for path, layout in wanted.items())
        return f"; if the port takes another layout, say layouts={{{shown}}}"


@final
class Outputs:
    """Which output of the original is which of the port. Raises BadInput where that is unclear."""

    def __init__(
        self, original: Mapping[str, Array], port: Mapping[str, Array], batches: Batches
    ) -> None:
        self.pairs = _paired(list(original), list(port))
        self._batches = batches
        for a, b in self.pairs:
            layout = batches.output_layout(a)
            shape = original[a].shape
            if layout is not None:
                shape = layout.to_port(np.broadcast_to(np.float64(0), shape), _named(a)).shape
            if shape != port[b].shape:
                hint = _in_space(shape, port[b].shape) if layout is not None else ""
                _refuse_shapes(a, original[a].shape, port[b].shape, layout, hint)

    def to_port(self, original: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays like the original's outputs by the port's paths and in its layout."""
        return {b: self.turned(a, original[a]) for a, b in self.pairs}

    def turned(self, path: str, value: Array) -> Array:
        """An output of the original in the port's layout."""
        layout = self._batches.output_layout(path)
        return value if layout is None else layout.to_port(value, _named(path))


def _paired(original: list[str], port: list[str]) -> list[tuple[str, str]]:
    if not original or not port:
        raise BadInput("output: a model returned no array; give call=, which returns arrays")
    if set(original) == set(port):
        return [(path, path) for path in original]
    positional = any(all(path.isdigit() for path in paths) for paths in (original, port))
    if len(original) == len(port) and (len(original) == 1 or positional):
        return list(zip(original, port, strict=True))
    raise BadInput(
        f"output: the original returns {_listed(original)}, the port {_listed(port)}; what belongs "
        "together is not clear; give call=, which returns the same names on both sides"
    )


def _refuse_shapes(
    path: str,
    original: tuple[int, ...],
    port: tuple[int, ...],
    layout: Layout | None,
    hint: str,
) -> None:
    text = f"{_named(path)}: shape {original} in the original and {port} in the port"
    if layout is not None:
        raise BadInput(f"{text}; the layout {layout} was given{hint}")
    found = propose(original, port)
    hint = (
        f"; say layouts={{{_named(path)!r}: {found!r}}} if only the order differs" if found else ""
    )
    raise BadInput(f"{text}; they cannot be the same function of the same batch{hint}")


def _in_space(original: tuple[int, ...], port: tuple[int, ...]) -> str:
    """What to look at where pictures have as many channels but other heights or widths."""
    alike = len(original) == len(port) > 2 and original[0] == port[0] and original[-1] == port[-1]
    if not alike:
        return ""
    return (
        "; only height or width differ: look at the padding and the strides of convolutions and "
        "pools (where none is given, Flax's convolutions pad \"SAME\" and PyTorch's nothing, and "
        "Flax's pools have stride 1, PyTorch's that of their window)"
    )


def _named(path: str) -> str:
    return f"{OUTPUT}.{path}" if path else OUTPUT


def _listed(paths: list[str]) -> str:
    return ", ".join(path or "one array" for path in paths)


def _key(path: str) -> str:
    return path if path.isdigit() else repr(path)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _wide(item: Array) -> Array:
    return item.astype(np.float64) if item.dtype.kind == "f" else item


def _whole(item: Array) -> bool:
    return item.dtype.kind == "f" and bool((item == np.round(item)).all())


def _plain(batch: Any, index: int) -> Any:
    def checked(path: str, item: Any) -> Array:
        where = f"batches[{index}]{f'.{path}' if path else ''}"
        if item is None or isinstance(item, str):
            raise BadInput(f"{where}: {item!r} given; allowed are arrays and numbers")
        try:
            array = np.asarray(item)
        except Exception as error:
            raise BadInput(f"{where}: {type(item).__name__} given; {error}") from error
        if array.dtype.kind not in "fiub":
            raise BadInput(f"{where}: {array.dtype} given; allowed are arrays of real numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadInput(f"{where}: has numbers that are not finite")
        return array

    return mapped(batch, checked)
