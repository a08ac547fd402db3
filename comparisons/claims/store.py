"""The result file of the studies: read, extended by one study at a time, written whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import model_validator

from comparisons.claims.claim import Findings
from twofold.results.json_files import write_json
from twofold.results.stored import Environment, Part, Stored, Text, read_result

SCHEMA: Final = "twofold.claims/1"
FILE: Final = "claims.json"


class StoredFindings(Stored):
    """What every study stores; the rest is read by the rules of the claims."""

    conditions: Text

    @model_validator(mode="before")
    @classmethod
    def _finite(cls, given: Any) -> Any:
        refuse_not_finite(given)
        return given


def refuse_not_finite(value: Any, where: str = "") -> None:
    """Raise ValueError for a number that is not finite: in a comparison it would decide wrongly."""
    if isinstance(value, dict):
        for name, item in value.items():
            refuse_not_finite(item, f"{where}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            refuse_not_finite(item, f"{where}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where.removeprefix('.')} is {value}; allowed are finite numbers")


class StoredRecord(Stored):
    """One study in the file."""

    findings: StoredFindings
    environment: Environment
    seconds: Part = 0.0
    quick: bool = False


class StoredStudies(Stored):
    """`twofold.claims/1`."""

    studies: dict[Text, StoredRecord]


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
    studies = read_result(path, SCHEMA, StoredStudies)["studies"]
    return {
        name: Record(one["findings"], one["environment"], one["seconds"], one["quick"])
        for name, one in studies.items()
    }


def save(path: Path, records: Mapping[str, Record]) -> None:
    """Write all records, or nothing at all. Raises ResultError."""
    studies = {name: record.to_json() for name, record in records.items()}
    write_json(path, {"schema": SCHEMA, "studies": studies})
