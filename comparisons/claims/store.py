"""The result file of the studies: read, extended by one study at a time, written whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from comparisons.claims.claim import Findings
from twofold.report.results import read_json, write_json

SCHEMA: Final = "twofold.claims/1"
FILE: Final = "claims.json"


@dataclass(frozen=True)
class Record:
    """What a study found, the machine it ran on, and how long it took."""

    findings: Findings
    environment: Mapping[str, Any]
    seconds: float
    quick: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "quick": self.quick,
            "seconds": self.seconds,
            "environment": dict(self.environment),
            "findings": dict(self.findings),
        }


def load(path: Path) -> dict[str, Record]:
    """The records of a result file by study; none where the file does not exist.

    Raises ResultError for a file that cannot be read.
    """
    if not path.exists():
        return {}
    studies = read_json(path, SCHEMA)["studies"]
    return {name: Record(**record) for name, record in studies.items()}


def save(path: Path, records: Mapping[str, Record]) -> None:
    """Write all records, or nothing at all. Raises ResultError."""
    studies = {name: record.to_json() for name, record in records.items()}
    write_json(path, {"schema": SCHEMA, "studies": studies})
