"""All traps: listed, found by id, filtered, and searched by the words of a symptom."""

from __future__ import annotations

import difflib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

from comparisons.atlas.traps.trap import Trap
from twofold.errors import BadInput

THEMES: Final = (
    "layers",
    "losses",
    "optimizers",
    "dtypes",
    "indexing",
    "autodiff",
    "rng",
    "runtime",
    "state",
)


@cache
def all_traps() -> tuple[Trap, ...]:
    """Every trap, theme by theme, in the order in which a theme defines them."""
    return tuple(trap for theme in THEMES for trap in of_theme(theme))


def of_theme(theme: str) -> Iterator[Trap]:
    for module in modules(theme):
        yield from (value for value in vars(module).values() if isinstance(value, Trap))


def modules(theme: str) -> Iterator[ModuleType]:
    """The module of a theme or, where the theme is a package, the modules in it."""
    module = import_module(f"comparisons.atlas.traps.{theme}")
    yield module
    for entry in pkgutil.iter_modules(getattr(module, "__path__", [])):
        yield import_module(f"{module.__name__}.{entry.name}")


def find(trap_id: str) -> Trap:
    """The trap of that id. Raises BadInput with the nearest ids where there is none."""
    traps = {trap.id: trap for trap in all_traps()}
    if trap_id in traps:
        return traps[trap_id]
    near = difflib.get_close_matches(trap_id, traps, n=3, cutoff=0.4)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else "list them: python -m comparisons.traps"
    )
    raise BadInput(f"no trap is called '{trap_id}'; {hint}")


def select(theme: str | None = None, severity: str | None = None, words: str = "") -> list[Trap]:
    """The traps of a theme and a severity that fit the searched words, best first.

    Raises BadInput for a theme that does not exist.
    """
    if theme is not None and theme not in THEMES:
        raise BadInput(f"no theme is called '{theme}'; the themes are {', '.join(THEMES)}")
    chosen = [
        trap
        for trap in all_traps()
        if theme in (None, trap.theme) and severity in (None, trap.severity)
    ]
    return search(chosen, words) if words.strip() else chosen


def search(traps: list[Trap], words: str) -> list[Trap]:
    """Traps that mention all the words or, where none does, those that mention most of them.

    A word is found where another word begins with it: `grad` finds `gradient`.
    """
    wanted = tokens(words)
    scores = {trap.id: sum(mentions(trap, word) for word in wanted) for trap in traps}
    best = max(scores.values(), default=0)
    return [trap for trap in traps if best and scores[trap.id] == best]


def mentions(trap: Trap, word: str) -> bool:
    text = " ".join((trap.id, trap.theme, trap.statement, trap.symptoms, trap.fix))
    return any(token.startswith(word.removesuffix("s")) for token in tokens(text))


def tokens(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
