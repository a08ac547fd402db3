"""Backwards written by hand: explained while they are roundings apart, and a cause beyond that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from twofold import port

ROWS = np.random.default_rng(0).normal(size=(5, 4))


def sine(factor):
    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient * x.cos() * factor

    return Sine.apply


class Later(torch.autograd.Function):
    """A function in the newer form, whose context is set up apart."""

    @staticmethod
    def forward(x):
        return x.tanh()

    @staticmethod
    def setup_context(ctx, inputs, output):  # noqa: ARG004
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, gradient):
        (y,) = ctx.saved_tensors
        return gradient * (1 - y * y) * (1 + 1e-8)


class Between(nn.Module):
    """A function between two layers."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        self.function = function

    def forward(self, x):
        return self.last(self.function(self.first(x)))


def judged(original, wrong):
    sides = [
        port.Torch(
            Between(function),
            loss=lambda outputs, _: (outputs**2).mean(),
            optimizer=lambda p: torch.optim.Adam(p, 1e-2),
        )
        for function in (original, wrong)
    ]
    return port.Pair(*sides, batches=[(ROWS,)]).certify(2, precisions=())


@pytest.mark.parametrize(
    ("original", "wrong", "side"),
    [
        (sine(1 + 1e-9), torch.sin, "Sine of the original"),
        (torch.sin, sine(1 + 1e-9), "Sine of the port"),
        (Later.apply, torch.tanh, "Later of the original"),
        (F.hardsigmoid, lambda x: (x / 6 + 0.5).clamp(0, 1), "hardsigmoid of the original"),
    ],
)
def test_a_rounded_backward_is_explained_and_the_steps_are_judged(original, wrong, side):
    report = judged(original, wrong)
    assert report.passed
    found = {rung.rung: rung for rung in report.rungs}
    assert found["gradients"].verdict == "explained"
    assert side in found["gradients"].explanation
    assert [found[f"step {n}"].verdict for n in (1, 2)] == ["explained"] * 2


def test_the_right_backward_needs_no_explanation():
    report = judged(sine(1.0), torch.sin)
    assert {rung.verdict for rung in report.rungs} <= {"same", "not exercised"}


def test_a_backward_that_is_further_off_is_a_difference_with_its_cause():
    report = judged(sine(1 + 1e-3), torch.sin)
    first = report.first_difference
    assert (first.rung, first.kind) == ("gradients", "own backward")
    assert "Sine.backward in the original, the derivative of the forward in the port" in first.cause


def test_another_mistake_is_not_explained_by_a_rounded_backward():
    class Wrong(Between):
        def forward(self, x):
            y = self.function(self.first(x))
            return self.last(y - (1 - 1e-7) * (y - y.detach()) + (y - y.detach()))

    sides = [port.Torch(Between(sine(1 + 1e-9))), port.Torch(Wrong(torch.sin))]
    report = port.Pair(*sides, batches=[(ROWS,)]).certify(0, precisions=())
    assert next(r for r in report.rungs if r.rung == "gradients").verdict == "differs"


def test_the_class_of_functions_is_as_it_was():
    before = vars(Later)["backward"]
    judged(Later.apply, torch.tanh)
    assert vars(Later)["backward"] is before
