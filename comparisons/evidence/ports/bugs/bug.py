"""One mistake to plant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

from comparisons.evidence.ports.bugs import causes
from comparisons.evidence.ports.setup import Setup

KINDS: Final = (
    "weights",
    "constants",
    "modes",
    "shapes",
    "loss",
    "optimizer",
    "schedule",
    "data",
)
OUTSIDE: Final = ("loss", "steps", "inputs")
"""Places that are no module: the loss, the optimizer and its schedule, what feeds the model."""


@final
@dataclass(frozen=True)
class Bug:
    """A mistake: the settings that make it, in one side, and what a good judge would say of it.

    `places` are the paths of modules in which a person would find it ("" is the model itself), or
    one of `OUTSIDE`. `cause` is one of `causes.WORDS`. `common` are settings of both sides, without
    which the mistake would have nowhere to be.
    """

    name: str
    kind: str
    architecture: str
    places: tuple[str, ...]
    change: Mapping[str, Any]
    cause: str
    why: str
    side: Literal["original", "port"] = "port"
    common: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Any] | None = None
    meeting: str = "torch->jax"

    def setup(self, *, planted: bool = True) -> Setup:
        """The pair with the mistake, or the same pair without it."""
        change = self.change if planted else {}
        return Setup(
            self.architecture,
            common=self.common,
            original=change if self.side == "original" else {},
            port=change if self.side == "port" else {},
            meeting=self.meeting,
            weights=self.weights if planted else None,
        )

    def names_cause(self, said: str) -> bool:
        """Whether an answer names the cause."""
        return causes.names(self.cause, said)
