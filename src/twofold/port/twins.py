"""The measure of the judge: a generic point, twins an ulp beside it, and a ratio in their scatter.

A side is run at a point in float64, and again with every number multiplied by 1 + 2^-52 U(-1, 1):
its twins. What they scatter is the noise that rounding makes in this model at this point. The
ratio of a tensor is the largest |A - B| over that noise, element by element.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol, final

import numpy as np

from twofold.port.side import Array, Tensor

ULP: Final = 2.0**-52
JITTER: Final = 0.05
SAME: Final = 64.0
DIFFERS: Final = 4096.0
TWINS: Final = 2
MORE_TWINS: Final = 4
POOL: Final = 1_048_573
JUMP: Final = 2.0**-26
"""A twin that moves an element by more than this share of its size has jumped, not been rounded."""


def generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one tensor: the same for a name and seed, whatever else is drawn."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


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
    """A twin's value: each element times 1 + ulp U(-1, 1); integers and twin 0 are as they are.

    The factors come from a pool of a prime number of them, read from a place that the name says: so
    a large tensor costs no more than its multiplication.
    """
    if twin == 0 or value.dtype.kind != "f":
        return value
    factors = _factors(seed, twin, ulp)
    start = zlib.crc32(name.encode()) % POOL
    flat = np.asarray(value, np.float64).reshape(-1)
    moved = np.empty_like(flat)
    done = 0
    while done < flat.size:
        stop = min(flat.size, done + POOL - start)
        moved[done:stop] = flat[done:stop] * factors[start : start + stop - done]
        done, start = stop, 0
    return moved.reshape(value.shape)


@lru_cache(maxsize=16)
def _factors(seed: int, twin: int, ulp: float) -> Array:
    uniform = np.random.default_rng([seed, twin]).random(POOL)
    return 1.0 + ulp * (2.0 * uniform - 1.0)


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
    no more than what rounding leaves of a true zero. `floor` is the noise of an element that does
    not scatter: that of the tensor.
    """

    ratio: float | None
    index: tuple[int, ...] = ()
    original: float = 0.0
    port: float = 0.0
    scale: float = 0.0
    size: float = 0.0
    jumping: float = 0.0
    noise: float = 0.0
    floor: float = 0.0
    reason: str = ""


class Run(Protocol):
    """One run of a tensor: an array, or one that is read from a file piece by piece."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""

    @property
    def size(self) -> int:
        """The number of its elements."""

    def __getitem__(self, flat: Any) -> Any:
        """A piece, by its place in the flattened tensor; an array has to be flat."""


def measure(original: Sequence[Run], port: Sequence[Run], reference: float = 0.0) -> Measured:
    """Compare two tensors by all their runs: the first of each list is the point, then its twins.

    `reference` is the size of the numbers that these came from, where that is larger than their
    own: a gradient that is truly zero is all noise, and does not jump. Large tensors are gone
    through block by block: beside the runs, three copies of one are held at most.
    """
    shape = original[0].shape
    if shape != port[0].shape:
        return Measured(None, reason=f"shape {shape} against {port[0].shape}")
    a, b = ([_flat(run) for run in runs] for runs in (original, port))
    if a[0].size == 0:
        return Measured(None, reason="empty")
    wrong = _unlike_pattern(a[0], b[0], shape) or _without_numbers(a[0])
    if wrong is not None:
        return wrong
    noise, floor = _noise(a, b)
    worst = _Worst()
    for block in _blocks(a[0].size):
        worst.look(_float(a[0][block]), _float(b[0][block]), noise[block], floor, block.start)
    if not worst.largest and not worst.apart:
        return Measured(0.0, reason="zero on both sides")
    own = _root_mean_square(a[0], worst.largest)
    return Measured(
        ratio=worst.ratio,
        index=tuple(int(i) for i in np.unravel_index(worst.place, shape)),
        original=float(a[0][worst.place]),
        port=float(b[0][worst.place]),
        scale=worst.scale,
        size=worst.apart / worst.largest if worst.largest else worst.apart,
        jumping=_share_above(a[0], noise, max(own, reference)),
        noise=_share_above(a[0], noise, own),
        floor=max(floor, 0.5 * float(np.spacing(own))),
    )


BLOCK: Final = 2**20
"""Elements of a tensor that are worked on at once."""


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK))


@final
@dataclass
class _Worst:
    """The element that is furthest apart so far, and the largest numbers that were seen."""

    ratio: float = -1.0
    place: int = 0
    scale: float = 0.0
    apart: float = 0.0
    largest: float = 0.0

    def look(self, a: Array, b: Array, noise: Array, floor: float, start: int) -> None:
        """Look at one block of both points."""
        finite = np.isfinite(a)
        with np.errstate(invalid="ignore"):
            apart = np.where(finite, np.abs(a - b), 0.0)
        sizes = np.where(finite, np.maximum(np.abs(a), np.abs(b)), 1.0)
        scale = np.maximum(np.maximum(noise, floor), 0.5 * np.spacing(sizes))
        with np.errstate(invalid="ignore", divide="ignore"):  # where both are zero is no noise
            ratios = np.where(apart == 0, 0.0, apart / scale)
        place = int(np.argmax(ratios))
        if ratios[place] > self.ratio or np.isnan(ratios[place]):
            self.ratio, self.place = float(ratios[place]), start + place
            self.scale = float(scale[place])
        self.apart = max(self.apart, float(apart.max()))
        self.largest = max(self.largest, float(np.abs(a[finite]).max(initial=0.0)))


def _flat(run: Run) -> Run:
    return run.reshape(-1) if isinstance(run, np.ndarray) else run


def _float(value: Array) -> Array:
    return np.asarray(value, dtype=np.float64)


def _unlike_pattern(a: Run, b: Run, shape: tuple[int, ...]) -> Measured | None:
    """What to say where not nan stands with nan, and each infinity with the same infinity."""
    count, first = 0, -1
    for block in _blocks(a.size):
        x, y = _float(a[block]), _float(b[block])
        infinite = (np.isinf(x) | np.isinf(y)) & (x != y)
        unlike = (np.isnan(x) != np.isnan(y)) | infinite
        if first < 0 and unlike.any():
            first = block.start + int(np.argmax(unlike))
        count += int(unlike.sum())
    if not count:
        return None
    return Measured(
        float("inf"),
        tuple(int(i) for i in np.unravel_index(first, shape)),
        float(a[first]),
        float(b[first]),
        size=float("inf"),
        reason=f"{count} of {a.size} elements are finite on one side only",
    )


def _without_numbers(a: Run) -> Measured | None:
    """What to say of a point with nan, or with infinities alone."""
    nans = sum(int(np.isnan(_float(a[block])).sum()) for block in _blocks(a.size))
    if nans:
        return Measured(None, reason=f"{nans} of {a.size} elements are nan")
    if not any(np.isfinite(_float(a[block])).any() for block in _blocks(a.size)):
        return Measured(None, reason="every element is infinite")
    return None


def _noise(a: Sequence[Run], b: Sequence[Run]) -> tuple[Array, float]:
    """The larger scatter of both sides, element by element, and the larger pooled one."""
    noise = _scatter(a, a[0])
    floor = _pooled(noise)
    other = _scatter(b, a[0])
    floor = max(floor, _pooled(other))
    return np.maximum(noise, other, out=noise), floor


def _scatter(runs: Sequence[Run], point: Run) -> Array:
    """Root mean square of the twins' distances from the point, where `point` is finite."""
    found = np.zeros(point.size)
    with np.errstate(invalid="ignore", over="ignore"):
        for block in _blocks(point.size):
            finite = np.isfinite(_float(point[block]))
            first = _float(runs[0][block])
            total = np.zeros(first.size)
            for twin in runs[1:]:
                apart = np.where(finite, _float(twin[block]) - first, 0.0)
                total += np.square(np.where(np.isnan(apart), np.inf, apart))
            found[block] = np.sqrt(total / max(len(runs) - 1, 1))
    return found


def _pooled(scatter: Array) -> float:
    """The median scatter of those elements that scatter at all.

    The median, since one chaotic element must not desensitize its tensor; without zeros, since most
    gradients of an embedding are exactly zero.
    """
    moving = scatter[scatter > 0]
    return float(np.median(moving, overwrite_input=True)) if moving.size else 0.0


def _root_mean_square(a: Run, largest: float) -> float:
    """Of the finite elements, none of which is larger."""
    if not largest:
        return 0.0
    total, count = 0.0, 0
    for block in _blocks(a.size):
        values = _float(a[block])
        finite = values[np.isfinite(values)]
        total += float(np.square(finite / largest).sum())
        count += finite.size
    return float(np.sqrt(total / count)) * largest


def _share_above(a: Run, noise: Array, size: float) -> float:
    """The share of elements whose noise is more than rounding makes of numbers of their size."""
    above = 0
    for block in _blocks(a.size):
        values = _float(a[block])
        sizes = np.where(np.isfinite(values), np.abs(values), 0.0)
        above += int((noise[block] > JUMP * np.maximum(sizes, size)).sum())
    return above / a.size
