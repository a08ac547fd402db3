"""The stored results of a folder, read and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twofold.errors import ResultError
from twofold.results import read_json

Result = dict[str, Any]

SCHEMAS: Final = {
    "parity": "twofold.parity/1",
    "timing": "twofold.timing/1",
    "training": "twofold.training/1",
}


@dataclass(frozen=True)
class Evidence:
    """Parity, timing and training results, each in the order of their file names."""

    parity: tuple[Result, ...] = ()
    timing: tuple[Result, ...] = ()
    training: tuple[Result, ...] = ()

    @property
    def environments(self) -> tuple[dict[str, Any], ...]:
        """The environment of every result."""
        everything = (*self.parity, *self.timing, *self.training)
        return tuple(result["environment"] for result in everything)


def file_name(kind: str, *parts: str) -> str:
    """Where a result is stored: `timing-digits.json`, `training-digits-torch-eager.json`."""
    return "-".join((kind, *(part.replace(":", "-") for part in parts))) + ".json"


def load(folder: Path) -> Evidence:
    """Read `parity-*.json`, `timing-*.json` and `training-*.json`.

    Raises ResultError when there is none, or one cannot be read or has another schema.
    """
    found = {
        kind: tuple(read_json(path, schema) for path in sorted(folder.glob(f"{kind}-*.json")))
        for kind, schema in SCHEMAS.items()
    }
    if not any(found.values()):
        raise ResultError(
            f"{folder}: no results; expected files named parity-*.json, timing-*.json or "
            "training-*.json, which `python -m comparisons.compare --out FOLDER` writes"
        )
    return Evidence(**found)


def experiment_name(result: Result) -> str:
    """The name of the experiment that a result is about."""
    return str(result["experiment"]["name"])
