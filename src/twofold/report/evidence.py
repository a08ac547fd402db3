"""The stored results of a folder, read and nothing more."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from twofold.errors import ResultError
from twofold.report import stored_results
from twofold.report.markdown import escaped
from twofold.results.stored import read_result

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
MODELS: Final[dict[str, type[BaseModel]]] = {
    "parity": stored_results.Parity,
    "timing": stored_results.Timing,
    "training": stored_results.Training,
    "outcome": stored_results.OutcomeStudy,
    "divergence": stored_results.Divergence,
    "feeding": stored_results.TimedSubjects,
    "peers": stored_results.TimedSubjects,
    "targets": stored_results.Targets,
}


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

    def escaped(self) -> Evidence:
        """The same with all text as Markdown that shows it and does nothing else."""
        kinds = {kind: tuple(escaped(one) for one in self.of_kind(kind)) for kind in SCHEMAS}
        return Evidence(**kinds)


def file_name(kind: str, *parts: str) -> str:
    """Where a result is stored: `timing-digits.json`, `training-digits-torch-eager.json`."""
    return "-".join((kind, *map(name_part, parts))) + ".json"


def name_part(text: str) -> str:
    """A name as a part of a file's name, which leads to no other folder.

    A text that needs more than `:` replaced gets a checksum, so that two stay two.
    """
    plain = text.replace(":", "-")
    if re.fullmatch(r"[\w-][\w.-]{0,80}", plain, re.ASCII):
        return plain
    slug = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:40]
    return f"{slug}-{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def load(folder: Path) -> Evidence:
    """Read the files of every kind: `parity-*.json`, `timing-*.json` and so on.

    Raises ResultError when there is none, or one cannot be read, has another schema or a field
    that is missing or wrong.
    """
    found = {
        kind: tuple(
            read_result(path, schema, MODELS[kind])
            for path in sorted(folder.glob(f"{kind}-*.json"))
        )
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
