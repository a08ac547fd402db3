"""Which module of the original is which of the port."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from twofold.port.weights import Link


def paired(
    original: Mapping[str, int], port: Mapping[str, int], links: Sequence[Link]
) -> dict[str, str]:
    """Modules of the original to those of the port.

    Both mappings have the modules that ran, in the order in which they were done, with the number
    of elements of their outputs. Modules with the same weights belong together: the innermost, and
    those around them where their numbers are equal. Modules without weights go by name and order
    below a pair. What stays alone counts as code of the module around it.
    """
    owned = _owned(original, links, "original"), _owned(port, links, "port")
    pairs: dict[str, str] = {}
    for weights, first in owned[0].items():
        second = owned[1].get(weights, [])
        if weights and len(first) == len(second):
            pairs.update(zip(first, second, strict=True))
        elif weights and second:
            pairs[first[-1]] = second[-1]
    pairs = {a: b for a, b in pairs.items() if original[a] == port[b]}
    alone = owned[0].get(frozenset(), []), owned[1].get(frozenset(), [])
    return {**pairs, **_without_weights(alone, original, port, pairs)}


def _owned(
    sizes: Mapping[str, int], links: Sequence[Link], side: Literal["original", "port"]
) -> dict[frozenset[int], list[str]]:
    """Modules by the links whose tensors are in them or below, the outermost first."""
    found: dict[frozenset[int], list[str]] = defaultdict(list)
    for module in sorted(sizes, key=lambda name: name.count(".")):
        names = (link.original if side == "original" else link.port for link in links)
        weights = frozenset(
            i for i, several in enumerate(names) if any(n.startswith(f"{module}.") for n in several)
        )
        found[weights].append(module)
    return found


def _without_weights(
    alone: tuple[list[str], list[str]],
    original: Mapping[str, int],
    port: Mapping[str, int],
    pairs: Mapping[str, str],
) -> dict[str, str]:
    below: tuple[dict[str, list[str]], dict[str, list[str]]] = defaultdict(list), defaultdict(list)
    back = {b: a for a, b in pairs.items()}
    for name in (name for name in original if name in alone[0]):
        below[0][around(name, pairs)].append(name)
    for name in (name for name in port if name in alone[1]):
        outer = around(name, back)
        below[1][back.get(outer, "")].append(name)
    found: dict[str, str] = {}
    for outer, first in below[0].items():
        second = below[1][outer]
        if [original[a] for a in first] == [port[b] for b in second]:
            found.update(zip(first, second, strict=True))
            continue
        for a in first:
            same = [b for b in second if _leaf(a) == _leaf(b) and original[a] == port[b]]
            if len(same) == 1:
                found[a] = same[0]
    return found


def around(name: str, known: Mapping[str, str] | set[str]) -> str:
    """The innermost known module around a place, itself left out; "" for the model."""
    path = name.rpartition(".")[0]
    while path and path not in known:
        path = path.rpartition(".")[0]
    return path


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
