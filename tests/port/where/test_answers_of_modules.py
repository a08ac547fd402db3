"""Modules that return an object: the place inside is found, and the model's own code still runs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from twofold import port
from twofold.port.trees import mapped

ROWS = np.random.default_rng(0).normal(size=(5, 4))


class Answer(OrderedDict):
    """A mapping that can be asked by place as well, as the outputs of Transformers can."""

    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


@dataclass(frozen=True)
class Plain:
    """A frozen object."""

    hidden: torch.Tensor


class Body(nn.Module):
    def __init__(self, eps, made):
        super().__init__()
        self.norm, self.made = nn.LayerNorm(4, eps=eps), made

    def forward(self, x):
        return self.made(hidden=self.norm(x))


class Whole(nn.Module):
    def __init__(self, eps, made):
        super().__init__()
        self.body, self.head = Body(eps, made), nn.Linear(4, 2)

    def forward(self, x):
        answer = self.body(x)
        return self.head(answer.hidden if isinstance(answer, Plain) else answer[0])


@pytest.mark.parametrize("made", [Answer, Plain])
def test_the_place_is_found_behind_an_object(made):
    pair = Whole(1e-5, made), Whole(3e-5, made)
    first = port.certify(*pair, (ROWS,), gradients=False, precisions=()).first_difference
    assert (first.module, first.kind) == ("body.norm", "epsilon of a layer norm")


def test_an_object_stays_what_it_is_and_its_own_is_not_changed():
    own = Answer(hidden=1.0)
    other = mapped(own, lambda _, value: value + 1)
    assert (type(other), other[0], own[0]) == (Answer, 2.0, 1.0)
    frozen = Plain(hidden=1.0)
    assert mapped(frozen, lambda path, value: (path, value)) == Plain(hidden=("hidden", 1.0))
    assert frozen == Plain(hidden=1.0)
