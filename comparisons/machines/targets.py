"""The speed targets on every machine: met everywhere, missed everywhere, or it depends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from comparisons.machines.orders import labelled
from comparisons.machines.stored import Machine
from twofold.report.parity_findings import unique
from twofold.report.study_findings import SpeedTarget, SpeedTargets, find_studies

Kind = Literal["met", "missed", "machine", "threads", "open"]


@dataclass(frozen=True)
class TargetColumn:
    """One machine's targets at one number of threads."""

    machine: str
    targets: SpeedTargets

    @property
    def label(self) -> str:
        """`AMD EPYC (2 threads)`."""
        return labelled(self.machine, self.targets.threads)

    def named(self, name: str) -> SpeedTarget | None:
        """The target of that name; None where it is not stored."""
        return next((target for target in self.targets.targets if target.name == name), None)


@dataclass(frozen=True)
class TargetTable:
    """All targets of all machines."""

    columns: tuple[TargetColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every target that is stored anywhere."""
        return unique(target.name for column in self.columns for target in column.targets.targets)

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """The targets of a kind."""
        return tuple(name for name in self.names if self.kind(name) == kind)

    def kind(self, name: str) -> Kind:
        """`machine` where machines with equally many threads differ, `threads` where others do.

        `open` where a target could not be measured somewhere, and nothing else is known to differ.
        """
        outcomes: dict[int | None, set[str]] = {}
        for column in self.columns:
            target = column.named(name)
            if target is not None:
                outcomes.setdefault(column.targets.threads, set()).add(target.outcome)
        if any(found >= {"met", "missed"} for found in outcomes.values()):
            return "machine"
        everywhere = set().union(*outcomes.values())
        if everywhere >= {"met", "missed"}:
            return "threads"
        if everywhere == {"met"}:
            return "met"
        return "missed" if everywhere == {"missed"} else "open"


def target_table(machines: Sequence[Machine]) -> TargetTable:
    """The targets that are stored, a column for each machine and number of threads."""
    return TargetTable(
        tuple(
            TargetColumn(machine.name, targets)
            for machine in machines
            for targets in find_studies(machine.evidence).targets
        )
    )
