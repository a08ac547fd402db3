"""Operations of a program that can be run in another way, to see whether that is the difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

OPTIMIZER: Final = -1
"""The number under which the optimizer of a step is changed."""
WHOLE_LOSS: Final = -2
"""The number under which the value of the loss is changed."""


@final
@dataclass(frozen=True)
class Site:
    """An operation that can be changed: the `number`-th of a run.

    `kind` is such as "layer norm"; `settings` are what it runs with and what can be changed, by
    neutral names such as "eps" or "axis". `line` is the person's own, `module` the place of the
    innermost module that runs it.
    """

    number: int
    kind: str
    settings: Mapping[str, object]
    line: str = ""
    module: str = ""


@final
@dataclass(frozen=True)
class Change:
    """Other settings for one site."""

    site: int
    settings: Mapping[str, object]
