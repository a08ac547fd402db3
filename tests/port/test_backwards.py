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


def judged(original, wrong, rule=lambda p: torch.optim.Adam(p, 1e-2)):
    sides = [
        port.Torch(
            Between(function),
            loss=lambda outputs, _: (outputs**2).mean(),
            optimizer=rule,
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
@pytest.mark.parametrize(
    ("rule", "steps"),
    [  # Adam divides each gradient by its own size, so its steps are the same as they are written.
        (lambda p: torch.optim.Adam(p, 1e-2), "same"),
        (lambda p: torch.optim.SGD(p, 1.0), "explained"),
    ],
    ids=["adam", "sgd"],
)
def test_a_rounded_backward_is_explained_and_the_steps_are_judged(
    original, wrong, side, rule, steps
):
    report = judged(original, wrong, rule)
    assert report.passed
    found = {rung.rung: rung for rung in report.rungs}
    assert found["gradients"].verdict == "explained"
    assert side in found["gradients"].explanation
    assert [found[f"step {n}"].verdict for n in (1, 2)] == [steps] * 2


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


class Small(torch.autograd.Function):
    """The sine; its backward has the wrong sign in the last column, and is right in the others."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        factor = torch.ones(x.shape[-1], dtype=x.dtype)
        factor[-1] = -1
        return gradient * x.cos() * factor


def test_what_an_optimizer_makes_large_is_not_explained():
    """The wrong gradients are 1e-7 of the largest; Adam's steps do not know how small they are."""

    class Weighed(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.first, self.function = nn.Linear(4, 4), function

        def forward(self, x):
            small = torch.tensor([1.0, 1.0, 1.0, 1e-7], dtype=x.dtype)
            return self.function(self.first(x)) * small

    sides = [
        port.Torch(
            Weighed(function),
            loss=lambda outputs, _: outputs.sum(),
            optimizer=lambda p: torch.optim.Adam(p, 1e-2, eps=1e-12),
        )
        for function in (Small.apply, torch.sin)
    ]
    report = port.Pair(*sides, batches=[(ROWS,)]).certify(1, precisions=())
    found = {rung.rung: rung for rung in report.rungs}
    assert found["gradients"].verdict == "explained"
    assert found["step 1"].verdict == "differs"
    assert not report.passed
