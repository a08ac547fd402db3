"""What becomes of a tensor that was multiplied by a number: scores, a branch, a weighted target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, final

import torch

from twofold.port.causes.sites import Site

THROUGH: Final = frozenset({"masked_fill", "where", "matmul", "__matmul__", "add", "mask", "sum"})
"""Operations whose result is still made of the scaled tensor."""


@final
class Origins:
    """Tells sites with a number what their results are used for; tensors live as long as it."""

    def __init__(self, found: list[Site]) -> None:
        self._found = found
        self._scaled: dict[int, tuple[torch.Tensor, int]] = {}

    def ran(self, site: Site, args: Sequence[Any], result: Any) -> None:
        """One site with its arguments and its result."""
        if site.kind == "constant" and site.settings["name"] in ("mul", "div"):
            if torch.is_tensor(result):
                self._scaled[id(result)] = result, site.number
            if any(_is_zero_or_one(value) for value in args):
                self._tell(site.number, "targets")
        elif site.kind == "softmax":
            for number in self._of(args):
                self._tell(number, "scores")
        elif site.kind == "sum":
            for number in self._of(args):
                self._tell(number, "branch")
        self.kept(site.kind, args, result)

    def kept(self, name: str, args: Sequence[Any], result: Any) -> Any:
        """The result of any operation, with what its arguments were made of."""
        if name in THROUGH and torch.is_tensor(result):
            for number in self._of(args):
                self._scaled[id(result)] = result, number
        return result

    def _of(self, args: Sequence[Any]) -> list[int]:
        return [self._scaled[id(v)][1] for v in args if id(v) in self._scaled]

    def _tell(self, number: int, use: str) -> None:
        site = self._found[number]
        self._found[number] = replace(site, settings={**site.settings, use: True})


def _is_zero_or_one(value: Any) -> bool:
    if not torch.is_tensor(value) or value.requires_grad or not value.numel():
        return False
    return bool(((value == 0) | (value == 1)).all())
