"""A side that differs is asked again: only one that answers otherwise then is called fickle."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import nn

from twofold import port

X = np.random.default_rng(0).normal(size=(4, 3))


class Masked(nn.Module):
    """A layer with a mask of truth values among its buffers, as GPT-2 keeps its causal mask."""

    def __init__(self, factor=1.0, noise=0.0):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("mask", torch.tensor([True, False]))
        self.factor, self.noise = factor, noise
        self.clock = itertools.count(1)  # goes on although the judge gives attributes back

    def forward(self, x):
        y = self.factor * self.layer(x).masked_fill(~self.mask, 0.0)
        return y + self.noise * next(self.clock)


def judged(**options):
    torch.manual_seed(0)
    return port.certify(Masked(), Masked(**options), (X,), precisions=())


def fickle(report):
    return any("answers twice differently" in rung.note for rung in report.rungs)


def test_a_mask_of_truth_values_can_be_compared_again():
    report = judged(factor=2.0)
    assert report.outcome() == "not the same function"
    assert not fickle(report)


def test_whoever_answers_otherwise_is_named_and_not_called_different():
    report = judged(noise=1.0)
    assert report.outcome() == "undecided"
    assert fickle(report)
