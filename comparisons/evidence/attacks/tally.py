"""What came of the cases of one section: counted, stored, and taken up again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from comparisons.evidence.attacks.watchdog import Case, failed
from twofold.errors import BadInput
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.results.stored import Count, Measurement, Name, Number, Part, Stored, Text, read_result

SCHEMA: Final = "twofold.attacks/1"
MOST_FAILURES: Final = 100


class Failure(Stored):
    """A case that ended as none may."""

    case: Count
    outcome: Name
    words: Text = ""


class StoredTally(Measurement):
    """`twofold.attacks/1`."""

    section: Name
    seed: Count
    asked: Count
    done: Count
    outcomes: dict[Text, Count]
    failures: list[Failure] = Field(default_factory=list)
    slowest_s: Part = 0.0
    most_bytes: Number = 0.0


@dataclass
class Tally:
    """The cases of a section so far; `most_bytes` by which one of them raised the peak."""

    section: str
    seed: int
    asked: int
    done: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    slowest_s: float = 0.0
    most_bytes: float = 0.0
    environment: dict[str, Any] = field(default_factory=environment.describe)

    @classmethod
    def at(cls, folder: Path, section: str, seed: int, asked: int) -> Tally:
        """A new tally, or a stored one to go on with. Raises ResultError or BadInput."""
        path = path_of(folder, section)
        if not path.exists():
            return cls(section, seed, asked)
        stored = read_result(path, SCHEMA, StoredTally)
        if (stored["seed"], stored["section"]) != (seed, section):
            raise BadInput(f"{path}: holds another seed or section; give another --out")
        known = {name: stored[name] for name in ("done", "failures", "slowest_s", "most_bytes")}
        return cls(section, seed, asked, **known, outcomes=Counter(stored["outcomes"]))

    def add(self, case: Case) -> None:
        """Count one case; cases come in order."""
        self.done = case.number + 1
        self.outcomes[case.outcome] += 1
        self.slowest_s = max(self.slowest_s, case.seconds)
        self.most_bytes = max(self.most_bytes, case.bytes)
        if failed(case.outcome) and len(self.failures) < MOST_FAILURES:
            self.failures.append(
                {"case": case.number, "outcome": case.outcome, "words": case.words}
            )

    @property
    def held(self) -> bool:
        """Whether no case ended as none may."""
        return not any(map(failed, self.outcomes))

    def store(self, folder: Path) -> Path:
        """Write `attacks-SECTION.json`. Raises ResultError."""
        outcomes = dict(sorted(self.outcomes.items()))
        return write_json(
            path_of(folder, self.section), {"schema": SCHEMA, **vars(self), "outcomes": outcomes}
        )


def path_of(folder: Path, section: str) -> Path:
    """Where a section's tally is stored."""
    return folder / f"attacks-{section}.json"
