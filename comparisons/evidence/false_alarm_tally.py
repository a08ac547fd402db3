"""What one engine answered over a range of seeds: counted, stored, and taken up again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from comparisons.evidence.random_problems import Draws, RandomCase, describe
from twofold.errors import ResultError
from twofold.parity.judging.verdict import Rung
from twofold.results import environment
from twofold.results.json_files import read_json, write_json
from twofold.spec.experiment import Precision

SCHEMA: Final = "twofold.false-alarms/1"
FOLDER: Final = Path("comparisons") / "results" / "false-alarms"
"""A folder for each kind of processor is inside."""


@dataclass
class Tally:
    """What one engine answered so far over a range of seeds.

    `whole` counts the experiments whose ladder went on to export and import.
    """

    engine: str
    precision: Precision
    first_seed: int
    end_seed: int
    draws: Draws = "wide"
    experiments: int = 0
    whole: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    worst: dict[str, tuple[float, int]] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    not_judged: list[dict[str, Any]] = field(default_factory=list)
    variations: int = 0
    environment: dict[str, Any] = field(default_factory=environment.describe)

    @property
    def next_seed(self) -> int:
        """The first seed that is still to come."""
        return self.first_seed + self.experiments

    def add(self, case: RandomCase, rungs: list[Rung], variation: int = 0) -> None:
        """Count one experiment, or one variation of it."""
        self.experiments += variation == 0
        self.variations += variation > 0
        for rung in rungs:
            self.verdicts[rung.verdict] += 1
            if rung.verdict == "diverges":
                self.alarms.append(self._event(case, rung, variation))
            elif rung.verdict in ("not run", "out of range"):
                self.not_judged.append(
                    {
                        "seed": case.seed,
                        "variation": variation,
                        "rung": rung.rung,
                        "note": rung.note,
                    }
                )
            elif rung.worst_ratio is not None:
                key = f"{rung.rung}, explained" if rung.explanation else rung.rung
                before = self.worst.get(key, (-1.0, 0))
                self.worst[key] = max(before, (rung.worst_ratio, case.seed))

    def _event(self, case: RandomCase, rung: Rung, variation: int) -> dict[str, Any]:
        command = (
            f"python -m comparisons.false_alarms --seeds {case.seed}:{case.seed + 1} "
            f"--engines {self.engine} --precision {self.precision} --draws {self.draws} "
            f"--variations {variation} --out FOLDER"
        )
        return {
            "seed": case.seed,
            "variation": variation,
            "rung": rung.rung,
            "ratio": str(rung.worst_ratio),
            "worst": str(rung.worst),
            "note": rung.note,
            "diagnosis": list(rung.diagnosis),
            "experiment": describe(case),
            "reproduce": command,
        }

    def failed_to_run(self) -> list[dict[str, Any]]:
        """Rungs that an engine could not run, apart from those that the oracle cannot judge."""
        return [event for event in self.not_judged if "engine failed" in event["note"]]

    def to_json(self) -> dict[str, Any]:
        """This tally with the environment it was begun in."""
        return {
            "schema": SCHEMA,
            "engine": self.engine,
            "precision": self.precision,
            "draws": self.draws,
            "seeds": [self.first_seed, self.next_seed],
            "experiments": self.experiments,
            "whole_ladders": self.whole,
            "variations": self.variations,
            "verdicts": dict(self.verdicts),
            "worst_ratios": {
                rung: {"ratio": ratio, "seed": seed}
                for rung, (ratio, seed) in sorted(self.worst.items())
            },
            "alarms": self.alarms,
            "not_judged": self.not_judged,
            "environment": self.environment,
        }

    def path(self, folder: Path) -> Path:
        """Where this tally is stored: a name that says what it is of."""
        draws = "" if self.draws == "plain" else f"-{self.draws}"
        name = f"{self.engine.replace(':', '-')}-{self.precision}{draws}-{self.first_seed}.json"
        return folder / name

    def store(self, folder: Path) -> Path:
        """Write this tally, whole or not at all."""
        return write_json(self.path(folder), self.to_json())

    def taken_up(self, folder: Path) -> Tally:
        """The stored tally of the same engine, precision, draws and first seed, else this one.

        Raises ResultError where that one was made by other versions of the packages.
        """
        path = self.path(folder)
        if not path.exists():
            return self
        stored = read_json(path, SCHEMA)
        versions, here = stored["environment"]["versions"], self.environment["versions"]
        if versions != here:
            raise ResultError(
                f"{path}: made with {versions}, here are {here}; continue with those versions, or "
                "give another folder with --out"
            )
        return Tally(
            self.engine,
            self.precision,
            self.first_seed,
            self.end_seed,
            draws=self.draws,
            experiments=stored["experiments"],
            whole=stored.get("whole_ladders", 0),
            verdicts=Counter(stored["verdicts"]),
            worst={
                rung: (entry["ratio"], entry["seed"])
                for rung, entry in stored["worst_ratios"].items()
            },
            alarms=stored["alarms"],
            not_judged=stored.get("not_judged", []),
            variations=stored.get("variations", 0),
            environment=stored["environment"],
        )
