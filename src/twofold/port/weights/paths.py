"""How alike two paths are: "blocks.0.attn.q_proj.kernel" and "h_0.self_attention.query.kernel"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import log
from typing import Final

_WORDS: Final = {
    "attn": "attention",
    "att": "attention",
    "q": "query",
    "k": "key",
    "v": "value",
    "o": "out",
    "output": "out",
    "wq": "query",
    "wk": "key",
    "wv": "value",
    "wo": "out",
    "weight": "kernel",
    "w": "kernel",
    "b": "bias",
    "gamma": "scale",
    "g": "scale",
    "beta": "bias",
    "ln": "norm",
    "bn": "norm",
    "layernorm": "norm",
    "batchnorm": "norm",
    "emb": "embedding",
    "embed": "embedding",
    "embeddings": "embedding",
    "wte": "token",
    "tok": "token",
    "wpe": "position",
    "pos": "position",
    "positional": "position",
    "feedforward": "mlp",
    "ffn": "mlp",
    "ff": "mlp",
    "enc": "encoder",
    "dec": "decoder",
    "downsample": "down",
    "lm": "",
    "proj": "",
    "params": "",
    "batch_stats": "",
    "model": "",
    "module": "",
    "cell": "",
}
_SPLIT: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def words(path: str) -> tuple[str, ...]:
    """The words of a path in their usual form; numbers are words of their own."""
    found = (_WORDS.get(part.lower(), part.lower()) for part in _SPLIT.findall(path))
    return tuple(word for word in found if word)


def twins(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of places whose paths are the same words, where no other path has the same.

    Numbers count only where all siblings have the same numbers on both sides: a list that counts
    activations and one that does not use the same numbers for other layers.
    """
    a, b = [words(path) for path in left], [words(path) for path in right]
    once_a, once_b = Counter(a), Counter(b)
    place = {path: index for index, path in enumerate(b)}
    numbers_a, numbers_b = _siblings(a), _siblings(b)
    return [
        (index, place[path])
        for index, path in enumerate(a)
        if once_a[path] == 1 == once_b[path] and _numbered_alike(path, numbers_a, numbers_b)
    ]


def _siblings(paths: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], set[str]]:
    found: dict[tuple[str, ...], set[str]] = {}
    for path in paths:
        for depth, word in enumerate(path):
            if word.isdigit():
                found.setdefault(path[:depth], set()).add(word)
    return found


def _numbered_alike(
    path: tuple[str, ...],
    a: Mapping[tuple[str, ...], set[str]],
    b: Mapping[tuple[str, ...], set[str]],
) -> bool:
    return all(
        a[path[:depth]] == b.get(path[:depth]) for depth, word in enumerate(path) if word.isdigit()
    )


class Likeness:
    """How alike paths are by the words that they share, rare words counting more; from 0 to 1."""

    def __init__(self, left: Sequence[str], right: Sequence[str]) -> None:
        self._left = [frozenset(w for w in words(path) if not w.isdigit()) for path in left]
        self._right = [frozenset(w for w in words(path) if not w.isdigit()) for path in right]
        count = Counter(word for path in (*self._left, *self._right) for word in path)
        total = len(self._left) + len(self._right)
        self._weight = {word: log(1 + total / each) for word, each in count.items()}

    def of(self, left: int, right: int) -> float:
        a, b = self._left[left], self._right[right]
        union = sum(self._weight[word] for word in a | b)
        return sum(self._weight[word] for word in a & b) / union if union else 0.0
