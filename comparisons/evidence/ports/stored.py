"""The stored answers of a judge, read and marked; no framework is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

from comparisons.evidence.ports.bugs import catalogue
from comparisons.evidence.ports.bugs.bug import Bug
from comparisons.evidence.ports.score import scored, shortcomings
from comparisons.evidence.ports.trial import marks
from twofold.results.json_files import read_json

SCHEMA: Final = "twofold.ports-judged/1"
NAME: Final = "ports-judged"
BUGS: Final = "bugs.json"
FIRST: Final = "bugs-first.json"
"""Answers of the judge before those for all mistakes had been read."""
CORRECT: Final = "correct-*.json"


@final
@dataclass(frozen=True)
class Stored:
    """Rows for planted mistakes, with their marks; for correct ports; and where they ran."""

    bugs: list[dict[str, Any]]
    correct: list[dict[str, Any]]
    environments: list[dict[str, Any]]
    first: list[dict[str, Any]] = field(default_factory=list)

    @property
    def score(self) -> dict[str, Any]:
        """Counts, the gap, and what is not reached."""
        score = scored(self.bugs, self.correct)
        return {**score, "planted": len(catalogue()), "shortcomings": shortcomings(score)}


def load(folder: Path) -> Stored:
    """What is stored in a folder; nothing if there is none. Raises ResultError."""
    results = [read_json(path, SCHEMA) for path in sorted(folder.glob(CORRECT))]
    correct = {key: row for result in results for key, row in result["rows"].items()}
    bugs: list[dict[str, Any]] = []
    if (folder / BUGS).exists():
        of_bugs = read_json(folder / BUGS, SCHEMA)
        bugs = marked(of_bugs["rows"])
        results.insert(0, of_bugs)
    first = marked(read_json(path, SCHEMA)["rows"]) if (path := folder / FIRST).exists() else []
    environments = [result["environment"] for result in results]
    return Stored(bugs, list(correct.values()), environments, first)


def was_read(row: dict[str, Any]) -> bool:
    """Whether a mistake is of those whose answers were read while the causes were written."""
    return sum(f"{row['architecture']}: {row['name']}".encode()) % 2 == 0


def key_of(bug: Bug) -> str:
    """The name of a mistake's row."""
    return f"{bug.architecture}: {bug.name}"


def marked(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers for the mistakes of the catalogue, with what of them is right."""
    bugs = {key_of(bug): bug for bug in catalogue()}
    return [row | marks(bugs[key], row) for key, row in rows.items() if key in bugs]
