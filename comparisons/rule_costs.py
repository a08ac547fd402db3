"""What the engine for who does not choose one costs: cases of `comparisons.default_rule`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comparisons.workload_ratios import Threads
from twofold.report.wording import duration
from twofold.results.stored import Count, Measurement, Name, Positive, Ratio, Seconds, Stored

SCHEMA: Final = "twofold.default-rule/1"
ENGINES: Final[Mapping[str, Sequence[str]]] = {
    "torch": ("torch:eager", "torch:eager-fused", "torch:compile-step", "torch:compile-epoch"),
    "flax": ("flax:jit", "flax:scan"),
}
NEAR: Final = 1.10
"""The rule may cost so many times the best engine's time to a result ..."""
SHARE: Final = 0.9
"""... in at least this share of the cases."""
CALIBRATED_SEED: Final = 3014
"""The seed of the workloads that gave PyTorch's rule its constants, timed on an Intel Xeon."""


@dataclass(frozen=True)
class Case:
    """What the rule chose for one workload, number of steps and state of the caches.

    `times_s`: seconds from nothing to the result in each engine; `chosen` is one of them.
    """

    backend: str
    workload: int
    steps: int
    warm: bool
    chosen: str
    times_s: Mapping[str, float]

    @property
    def cost(self) -> float:
        """The chosen engine's time over that of the best one."""
        return self.times_s[self.chosen] / min(self.times_s.values())


class StoredPace(Stored):
    """Seconds to the first step with empty and with full caches, and for a step."""

    cold_s: Seconds
    warm_s: Seconds
    step_s: Seconds


class StoredWorkload(Stored):
    """A workload, the experiment as JSON, with what was timed of it, by engine."""

    experiment: dict[str, Any]
    paces: dict[Name, StoredPace]


class StoredCase(Stored):
    """One case, as `Case`."""

    backend: Name
    workload: Count
    steps: Positive
    warm: bool
    chosen: Name
    times_s: dict[Name, Seconds]
    cost: Ratio


class StoredRule(Measurement):
    """`twofold.default-rule/1`."""

    environment: Threads
    seed: Count
    workloads: list[StoredWorkload]
    cases: list[StoredCase]


@dataclass(frozen=True)
class Group:
    """The cases of one backend and one state of the caches."""

    backend: str
    caches: str
    cases: Sequence[Mapping[str, Any]]

    @property
    def near(self) -> int:
        """How many cost little more than the best engine's time."""
        return sum(case["cost"] <= NEAR for case in self.cases)

    @property
    def met(self) -> bool:
        """Whether there are cases, and enough of them are near."""
        return bool(self.cases) and self.near >= SHARE * len(self.cases)


def grouped(cases: Sequence[Mapping[str, Any]]) -> Iterator[Group]:
    """The cases by backend and state of the caches; a group without cases is there, too."""
    for backend in ENGINES:
        for warm, caches in ((False, "empty"), (True, "full")):
            own = [case for case in cases if (case["backend"], case["warm"]) == (backend, warm)]
            yield Group(backend, caches, own)


def line_of(case: Mapping[str, Any]) -> str:
    """`workload 3, 1,000 steps: torch:eager 4.1 s, 1.3 times flax:scan`."""
    times: Mapping[str, float] = case["times_s"]
    best = min(times, key=times.__getitem__)
    took = times[best] * case["cost"]
    return (
        f"workload {case['workload'] + 1}, {case['steps']:,} steps: {case['chosen']} "
        f"{duration(took)}, {case['cost']:.2f} times {best}"
    )
