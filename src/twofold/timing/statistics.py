"""From raw samples to a median, an interval, and an outcome.

Samples of one machine follow each other in time, and so does its noise: the bootstrap resamples
blocks of neighbouring rounds (circular block bootstrap: Politis and Romano, 1992), since single
rounds would give intervals that are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from twofold.timing.student_t import quantile

Outcome = Literal["faster", "slower", "not distinguishable", "could not be measured"]
Samples = Sequence[float] | npt.NDArray[np.float64]

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2000
LARGEST_TABLE: Final = 2_000_000  # elements resampled at once: thousands of rounds need portions
LARGEST_PIECE: Final = 1000  # values whose pairs are looked at together
RESOLUTION: Final = 0.02
"""Ratios within 2 % of one are not told apart. Two processes of one program differ in speed through
the layout of their memory, which more rounds cannot average away (Mytkowicz, Diwan, Hauswirth,
Sweeney, *Producing wrong data without doing anything obviously wrong!*, ASPLOS 2009)."""
RESOLUTION_OF_ONE_PROCESS: Final = 0.04
"""The same where each engine ran in one process, whose interval cannot hold what the next one would
differ by: on an Intel Xeon eager PyTorch's processes differed by up to 3.5 % for as long as they
lived, and 13 of 55 pairs of them were told apart at 2 %."""


@dataclass(frozen=True)
class Interval:
    """A median with the ends of its 95 % bootstrap interval."""

    median: float
    low: float
    high: float


def median_interval(samples: Samples, seed: int) -> Interval:
    """The median of samples and its interval, by a seeded block bootstrap (percentile method)."""
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise ValueError(f"samples: {values.size} given, allowed are one or more finite numbers")
    medians = _resampled_medians(values, np.random.default_rng(seed))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Interval(float(np.median(values)), float(low), float(high))


def interval_of(samples: Samples, seed: int, processes: Sequence[Hashable] = ()) -> Interval:
    """The middle of samples and its interval; `processes` says which process each is of.

    With several processes it is the mean of their centres of the logarithm (`centre`), and the
    interval is Student's, from the scatter between the processes: each is one draw of all that
    differs from one start of a program to the next. With one process it is that of
    `median_interval`.
    """
    if len(set(processes)) < 2:
        return median_interval(samples, seed)
    found = _between_processes(np.log(np.asarray(samples, np.float64)), processes)
    return Interval(*(float(np.exp(value)) for value in (found.median, found.low, found.high)))


def paired_ratio(
    samples: Samples, reference: Samples, seed: int, processes: Sequence[Hashable] = ()
) -> Interval:
    """The median of `samples / reference`, round by round, with its interval.

    Pairing cancels what both sides of a round share, such as a machine that slows down. Medians
    are of the logarithm, so that exchanging the sides gives the reciprocal. `processes` says which
    processes each pair is of: see `interval_of`.
    """
    if len(samples) != len(reference):
        raise ValueError(f"rounds: {len(samples)} and {len(reference)} given; allowed are equal")
    logarithms = np.log(np.asarray(samples, np.float64)) - np.log(np.asarray(reference, np.float64))
    several = len(set(processes)) > 1
    found = (
        _between_processes(logarithms, processes) if several else median_interval(logarithms, seed)
    )
    return Interval(*(float(np.exp(value)) for value in (found.median, found.low, found.high)))


def outcome_of(ratio: Interval, resolution: float = RESOLUTION) -> Outcome:
    """What an interval of the time ratio says: the whole of it must lie beyond the resolution."""
    if not (math.isfinite(ratio.low) and math.isfinite(ratio.high)):
        return "could not be measured"
    if ratio.high < 1 / (1 + resolution):
        return "faster"
    if ratio.low > 1 + resolution:
        return "slower"
    return "not distinguishable"


def centre(values: npt.NDArray[np.float64]) -> float:
    """The Hodges-Lehmann estimate: the median of the means of all pairs, each value with itself.

    As robust as need be (three in ten may be anything) and nearly as efficient as the mean, where a
    median wastes samples: an engine of two threads may flip between two speeds, and the median of
    two humps lies anywhere between them (Hodges and Lehmann, *Estimates of location based on rank
    tests*, Annals of Mathematical Statistics 34, 1963). Long series go in pieces.
    """
    pieces = np.array_split(values, -(-values.size // LARGEST_PIECE))
    return float(np.mean([_median_of_pairs(piece) for piece in pieces]))


def _median_of_pairs(values: npt.NDArray[np.float64]) -> float:
    one, other = np.triu_indices(values.size)
    return float(np.median((values[one] + values[other]) / 2))


def resolution_for(processes: Sequence[Hashable]) -> float:
    """How far from one a ratio must be to count; `processes` says which each sample is of."""
    return RESOLUTION if len(set(processes)) > 1 else RESOLUTION_OF_ONE_PROCESS


def relative_spread(samples: Samples) -> float:
    """Interquartile range over median: how noisy samples are."""
    low, middle, high = np.quantile(np.asarray(samples, np.float64), [0.25, 0.5, 0.75])
    return float((high - low) / middle)


def block_length(rounds: int) -> int:
    """Neighbouring rounds that are resampled together: the cube root of their number."""
    return max(1, round(math.cbrt(rounds)))


def _between_processes(values: npt.NDArray[np.float64], processes: Sequence[Hashable]) -> Interval:
    """The mean of the processes' centres, with Student's interval from their scatter."""
    own: dict[Hashable, list[float]] = {}
    for value, process in zip(values, processes, strict=True):
        own.setdefault(process, []).append(float(value))
    centres = np.array([centre(np.asarray(group)) for group in own.values()])  # (processes,)
    middle, count = float(centres.mean()), len(centres)
    reach = quantile(1 - (1 - CONFIDENCE) / 2, count - 1) * float(centres.std(ddof=1))
    half = reach / math.sqrt(count)
    return Interval(middle, middle - half, middle + half)


def _resampled_medians(
    values: npt.NDArray[np.float64], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Medians of resampled series, shape (RESAMPLES,)."""
    rounds, length = values.size, block_length(values.size)
    blocks = -(-rounds // length)
    offsets = np.arange(length)
    parts = []
    for count in _portions(RESAMPLES, portion=max(1, LARGEST_TABLE // rounds)):
        starts = random.integers(0, rounds, size=(count, blocks, 1))
        chosen = ((starts + offsets) % rounds).reshape(count, -1)[:, :rounds]  # (count, rounds)
        parts.append(np.median(values[chosen], axis=1))
    return np.concatenate(parts)


def _portions(total: int, portion: int) -> list[int]:
    """`total` cut into pieces of at most `portion`."""
    whole, rest = divmod(total, portion)
    return [portion] * whole + ([rest] if rest else [])
