"""The stored results of a folder, read and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twofold.errors import ResultError
from twofold.report.results import read_json

Result = dict[str, Any]

SCHEMAS: Final = {
    "parity": "twofold.parity/1",
    "timing": "twofold.timing/1",
    "training": "twofold.training/1",
    "outcome": "twofold.outcome/1",
    "divergence": "twofold.divergence/1",
    "feeding": "twofold.feeding/1",
    "peers": "twofold.peers/1",
    "targets": "twofold.targets/1",
}
"""The kinds of results, each with the beginning of its files' names."""


@dataclass(frozen=True)
class Evidence:
    """The results of each kind, in the order of their file names.

    The main job writes the first three; the further studies add the others.
    """

    parity: tuple[Result, ...] = ()
    timing: tuple[Result, ...] = ()
    training: tuple[Result, ...] = ()
    outcome: tuple[Result, ...] = ()
    divergence: tuple[Result, ...] = ()
    feeding: tuple[Result, ...] = ()
    peers: tuple[Result, ...] = ()
    targets: tuple[Result, ...] = ()

    def of_kind(self, kind: str) -> tuple[Result, ...]:
        """The results of one kind, a key of `SCHEMAS`."""
        found: tuple[Result, ...] = getattr(self, kind)
        return found


def file_name(kind: str, *parts: str) -> str:
    """Where a result is stored: `timing-digits.json`, `training-digits-torch-eager.json`."""
    return "-".join((kind, *(part.replace(":", "-") for part in parts))) + ".json"


def load(folder: Path) -> Evidence:
    """Read the files of every kind: `parity-*.json`, `timing-*.json` and so on.

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
