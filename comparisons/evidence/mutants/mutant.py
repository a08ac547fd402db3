"""What a mutant is: a named porting bug and the way to plant it in a backend."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold.problem.problem import Problem

if TYPE_CHECKING:
    from comparisons.evidence.mutants.hosts import Host

Plant = Callable[["Host"], AbstractContextManager[Any]]
Change = Callable[[Problem], Problem]


@dataclass(frozen=True)
class Mutant:
    """One porting bug.

    `base` names the correct experiment it is planted in (`comparisons.evidence.mutants.bases`).
    Either `plant` patches a host's backend while the context lasts, or `change` alters the settings
    that the session is given, while the oracle keeps the right ones.
    """

    name: str
    theme: str
    description: str
    base: str
    plant: Plant | None = None
    change: Change | None = None
