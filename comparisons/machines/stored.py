"""The stored results of every machine, read and nothing more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from comparisons.advice_score import CALIBRATION as ADVICE_CALIBRATION
from comparisons.advice_score import NAME as ADVICE_SCORE
from comparisons.advice_score import SCHEMA as ADVICE_SCHEMA
from comparisons.calibration import NAME as CALIBRATION
from comparisons.calibration import SCHEMA as CALIBRATION_SCHEMA
from comparisons.machines import results as models
from comparisons.steadiness import NAME as STEADINESS
from comparisons.steadiness import SCHEMA as STEADINESS_SCHEMA
from twofold.errors import BadInput
from twofold.report.evidence import SCHEMAS, Evidence, Result, load
from twofold.report.markdown import escape, escaped
from twofold.report.parity_findings import unique
from twofold.report.wording import listing, threads
from twofold.results.stored import read_result
from twofold.studies.advice.calibrate import SCHEMA as ADVICE_CALIBRATION_SCHEMA
from twofold.studies.advice.store import StoredCalibration

NOT_MACHINES: Final = ("false-alarms", "mutants", "ports", "ports-judged")
QUICK: Final = "-quick"
SHOWN: Final = ("parity", "timing", "feeding", "peers", "targets")


@dataclass(frozen=True)
class Machine:
    """One machine's results; `name` is its processor, with the folder where two have the same."""

    name: str
    folder: str
    evidence: Evidence
    calibrations: tuple[Result, ...] = ()
    scores: tuple[Result, ...] = ()
    steadiness: tuple[Result, ...] = ()
    advice: tuple[Result, ...] = ()  # the calibrations that the scores are of

    @property
    def timed(self) -> tuple[Result, ...]:
        """The results whose times depend on the number of threads."""
        stored = self.evidence
        return (*stored.timing, *stored.feeding, *stored.peers, *stored.targets)

    @property
    def environments(self) -> tuple[dict[str, Any], ...]:
        """Where each result was measured that the page shows."""
        results = [result for kind in SHOWN for result in self.evidence.of_kind(kind)]
        results += [*self.calibrations, *self.scores, *self.steadiness, *self.advice]
        return tuple(result["environment"] for result in results)

    @property
    def versions(self) -> dict[str, str]:
        """System, Python and packages; several versions are joined."""
        found: dict[str, list[str]] = {}
        for environment in self.environments:
            for name in ("system", "python"):
                found.setdefault(name, []).append(environment.get(name) or "")
            for name, version in (environment.get("versions") or {}).items():
                found.setdefault(name, []).append(version or "")
        joined = {name: listing(v for v in unique(all_) if v) for name, all_ in found.items()}
        return {name: version for name, version in joined.items() if version != "none"}

    def escaped(self) -> Machine:
        """The same with all text as Markdown that shows it and does nothing else."""
        others = (self.calibrations, self.scores, self.steadiness, self.advice)
        texts = (tuple(escaped(one) for one in results) for results in others)
        return Machine(escape(self.name), self.folder, self.evidence.escaped(), *texts)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a field of the environments, in the order of their first appearance."""
        found = (environment.get(name) for environment in self.environments)
        return unique(str(value) for value in found if value is not None)


def threads_of(result: Result) -> str:
    """With how many threads a result was measured: `2 threads`."""
    return threads(result["environment"].get("threads"))


def load_machines(results: Path) -> tuple[Machine, ...]:
    """Every machine stored in a folder, by the names of their folders; quick runs left out.

    Raises BadInput where there is none, ResultError for a file that cannot be read.
    """
    folders = sorted(results.iterdir()) if results.is_dir() else []
    machines = [machine for folder in folders for machine in _read(folder)]
    if not machines:
        raise BadInput(f"{results}: no results of any machine; measure first: make compare")
    return _told_apart(machines)


def _read(folder: Path) -> Iterator[Machine]:
    """The machine of a folder; none where it holds nothing that this page shows."""
    if not folder.is_dir() or folder.name in NOT_MACHINES or folder.name.endswith(QUICK):
        return
    calibrations = _all_of(folder, CALIBRATION, CALIBRATION_SCHEMA, models.TimingCalibration)
    scores = _all_of(folder, ADVICE_SCORE, ADVICE_SCHEMA, models.AdviceScore)
    steadiness = _all_of(folder, STEADINESS, STEADINESS_SCHEMA, models.Steadiness)
    advice = _all_of(folder, ADVICE_CALIBRATION, ADVICE_CALIBRATION_SCHEMA, StoredCalibration)
    stored = any(path for kind in SCHEMAS for path in folder.glob(f"{kind}-*.json"))
    if not stored and not (calibrations or scores or steadiness or advice):
        return
    evidence = load(folder) if stored else Evidence()
    machine = Machine(folder.name, folder.name, evidence, calibrations, scores, steadiness, advice)
    yield replace(machine, name=listing(machine.values("processor") or (folder.name,)))


def _all_of(folder: Path, name: str, schema: str, model: type[BaseModel]) -> tuple[Result, ...]:
    """The results of one script, one for each number of threads."""
    paths = sorted(folder.glob(f"{name}-*.json"))
    return tuple(read_result(path, schema, model) for path in paths)


def _told_apart(machines: Sequence[Machine]) -> tuple[Machine, ...]:
    number = Counter(machine.name for machine in machines)
    return tuple(
        replace(machine, name=f"{machine.name} ({machine.folder})")
        if number[machine.name] > 1
        else machine
        for machine in machines
    )
