"""The measure of the judge: a generic point, twins an ulp beside it, and a ratio in their scatter.

A side is run at a point in float64, and again with every number multiplied by 1 + 2^-52 U(-1, 1):
its twins. What they scatter is the noise that rounding makes in this model at this point. The
ratio of a tensor is the largest |A - B| over that noise, element by element.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from twofold.port.side import Array, Tensor

ULP: Final = 2.0**-52
JITTER: Final = 0.05
SAME: Final = 64.0
DIFFERS: Final = 4096.0
TWINS: Final = 2
MORE_TWINS: Final = 4
JUMP: Final = 2.0**-26
"""A twin that moves an element by more than this share of its size has jumped, not been rounded."""


def generator(seed: int, name: str, twin: int = 0) -> np.random.Generator:
    """Random numbers of one tensor: the same for a name and seed, whatever else is drawn."""
    return np.random.default_rng([seed, twin, zlib.crc32(name.encode())])


def widened(value: Array) -> Array:
    """A float array in float64; others as they are."""
    return value.astype(np.float64) if value.dtype.kind in "fV" else value


def jittered(tensor: Tensor, seed: int) -> Array:
    """A tensor moved to a generic point in float64: parameters and statistics of norms.

    By 0.05 N(0, 1), less for wide layers, where it would drown what the layer computes: at most
    1 / sqrt(inputs). Where a black-box step has no negative numbers, none are made: they may be
    second moments. Statistics move by 0.1 |N(0, 1)|, so that variances stay positive. Frozen
    parameters and other buffers (masks, tables) stay.
    """
    value = widened(tensor.value)
    draw = generator(seed, tensor.name)
    if value.dtype.kind != "f" or value.size == 0 or not np.isfinite(value).all():
        return value
    if tensor.role == "parameter" and tensor.trainable and tensor.attributes.get("nonnegative"):
        return np.asarray(value + JITTER * np.abs(draw.standard_normal(value.shape)))
    if tensor.role == "parameter" and tensor.trainable:
        return np.asarray(value + _amount(value.shape) * draw.standard_normal(value.shape))
    if tensor.role == "buffer" and "Norm" in tensor.owner:
        return np.asarray(value + 0.1 * np.abs(draw.standard_normal(value.shape)))
    return value


def _amount(shape: Sequence[int]) -> float:
    if len(shape) < 2:
        return JITTER
    inputs = float(np.prod(shape)) / max(*shape, 1)
    return min(JITTER, float(1 / np.sqrt(max(inputs, 1.0))))


def nudged(value: Array, seed: int, name: str, twin: int, ulp: float = ULP) -> Array:
    """A twin's value: each element times 1 + ulp U(-1, 1); integers and twin 0 are as they are."""
    if twin == 0 or value.dtype.kind != "f":
        return value
    uniform = generator(seed, name, twin).random(value.shape)
    return np.asarray(value * (1.0 + ulp * (2.0 * uniform - 1.0)))


@final
class Lazy(Mapping[str, Array]):
    """Arrays that are made when they are asked for, so that a large state is never held twice."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> Array:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@final
@dataclass(frozen=True)
class Measured:
    """How far two tensors are apart in units of rounding noise.

    `ratio` is None where no number can be given (`reason` says why). `index`, `original`, `port`
    and `scale` are of the worst element; `size` is max |A - B| over max |A|. `jumping` is the share
    of elements that a twin moved by more than rounding does, `noise` the share of those that are
    no more than what rounding leaves of a true zero.
    """

    ratio: float | None
    index: tuple[int, ...] = ()
    original: float = 0.0
    port: float = 0.0
    scale: float = 0.0
    size: float = 0.0
    jumping: float = 0.0
    noise: float = 0.0
    reason: str = ""


def measure(original: Sequence[Array], port: Sequence[Array], reference: float = 0.0) -> Measured:
    """Compare two tensors by all their runs: the first of each list is the point, then its twins.

    `reference` is the size of the numbers that these came from, where that is larger than their
    own: a gradient that is truly zero is all noise, and does not jump.
    """
    a, b = _float(original[0]), _float(port[0])
    if a.shape != b.shape:
        return Measured(None, reason=f"shape {a.shape} against {b.shape}")
    if a.size == 0:
        return Measured(None, reason="empty")
    if not _same_pattern(a, b):
        return _unlike_pattern(a, b)
    if np.isnan(a).any():
        return Measured(None, reason=f"{int(np.isnan(a).sum())} of {a.size} elements are nan")
    finite = np.isfinite(a)
    if not finite.any():
        return Measured(None, reason="every element is infinite")
    scatters = [_scatter(runs, finite) for runs in (original, port)]
    both = np.maximum(*scatters)
    floor = max(_pooled(scatter) for scatter in scatters)
    with np.errstate(invalid="ignore"):
        apart = np.where(finite, np.abs(a - b), 0.0)
        half_ulp = 0.5 * np.spacing(np.where(finite, np.maximum(np.abs(a), np.abs(b)), 1.0))
    scale = np.maximum(np.maximum(both, floor), half_ulp)
    ratios = np.where(apart == 0, 0.0, apart / scale)
    worst = np.unravel_index(int(np.argmax(ratios)), a.shape)
    largest = float(np.abs(a[finite]).max())
    own = float(np.sqrt(np.mean(np.square(a[finite] / largest)))) * largest if largest else 0.0
    if not largest and not apart.any():
        return Measured(0.0, reason="zero on both sides")
    sizes = np.where(finite, np.abs(a), 0.0)
    jumps = both > JUMP * np.maximum(sizes, max(own, reference))
    noise = both > JUMP * np.maximum(sizes, own)
    return Measured(
        ratio=float(ratios[worst]),
        index=tuple(int(i) for i in worst),
        original=float(a[worst]),
        port=float(b[worst]),
        scale=float(scale[worst]),
        size=float(apart.max() / largest) if largest else float(apart.max()),
        jumping=float(jumps.mean()),
        noise=float(noise.mean()),
    )


def _float(value: Array) -> Array:
    return np.asarray(value, dtype=np.float64)


def _same_pattern(a: Array, b: Array) -> bool:
    """Whether nan stands with nan, and each infinity with the same infinity."""
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return False
    infinite = np.isinf(a)
    return np.array_equal(infinite, np.isinf(b)) and np.array_equal(a[infinite], b[infinite])


def _unlike_pattern(a: Array, b: Array) -> Measured:
    apart = (np.isnan(a) != np.isnan(b)) | ((np.isinf(a) | np.isinf(b)) & (a != b))
    index = tuple(int(i) for i in np.argwhere(apart)[0])
    return Measured(
        float("inf"),
        index,
        float(a[index]),
        float(b[index]),
        size=float("inf"),
        reason=f"{int(apart.sum())} of {a.size} elements are finite on one side only",
    )


def _scatter(runs: Sequence[Array], finite: Array) -> Array:
    """Root mean square of the twins' distances from the point, element by element."""
    total = np.zeros(runs[0].shape)
    with np.errstate(invalid="ignore", over="ignore"):
        for twin in runs[1:]:
            apart = np.where(finite, _float(twin) - _float(runs[0]), 0.0)
            total += np.square(np.where(np.isnan(apart), np.inf, apart))
        return np.asarray(np.sqrt(total / max(len(runs) - 1, 1)))


def _pooled(scatter: Array) -> float:
    """The median scatter of those elements that scatter at all.

    The median, since one chaotic element must not desensitize its tensor; without zeros, since most
    gradients of an embedding are exactly zero.
    """
    moving = scatter[scatter > 0]
    return float(np.median(moving)) if moving.size else 0.0
