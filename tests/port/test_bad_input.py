"""What a person gets wrong, or what a model does that cannot be judged: each has its sentence."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

from tests.port import flax_models, torch_models
from twofold import port
from twofold.errors import BadInput, SideFailed

X = np.random.default_rng(0).normal(size=(4, 6))
IMAGES = np.random.default_rng(1).normal(size=(2, 3, 8, 8))


def forward(original, copy, inputs=(X,), **options):
    return port.certify(original, copy, inputs, gradients=False, precisions=(), **options)


def evaluation(report):
    return next(rung for rung in report.rungs if rung.rung == "forward, evaluation")


class Plain(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def forward(self, x):
        return self.run(x)


def function(run):
    return (lambda parameters, x: run(x) + 0 * parameters["unused"]), {"unused": np.zeros(())}


def test_unlike_shapes_come_with_a_layout():
    with pytest.raises(BadInput, match=r"output: shape \(4, 6\).*\(6, 4\).*'AB->BA'"):
        forward(Plain(lambda x: 2 * x), Plain(lambda x: (2 * x).T))
    report = forward(
        Plain(lambda x: 2 * x), Plain(lambda x: (2 * x).T), layouts={"output": "AB->BA"}
    )
    assert report.passed


def test_images_without_a_layout_get_a_proposal():
    with pytest.raises((BadInput, SideFailed), match="NCHW->NHWC"):
        forward(torch_models.ResNet(), flax_models.ResNet(), (IMAGES,))


def test_unknown_layouts_and_inputs_are_named():
    with pytest.raises(BadInput, match=r"layouts: 'z' given; the batch has '0'"):
        forward(torch_models.MLP(), flax_models.MLP(), layouts={"z": "AB->BA"})
    with pytest.raises(BadInput, match=r"inputs: 'z' given; the batch has 'x'"):
        port.Pair(
            torch_models.MLP(), flax_models.MLP(), batches=[{"x": X}], inputs=("z",)
        ).certify()


@dataclasses.dataclass
class Output:
    logits: object
    extra: object = None


def test_outputs_are_paired_by_path_or_refused():
    mapping = Plain(lambda x: {"logits": 2 * x})
    assert forward(mapping, Plain(lambda x: Output(2 * x))).passed
    assert forward(mapping, Plain(lambda x: (2 * x,))).passed
    both = Plain(lambda x: {"a": x * 2, "b": x * 3})
    with pytest.raises(BadInput, match=r"original returns a, b, the port b, c"):
        forward(both, Plain(lambda x: {"b": x * 3, "c": x * 2}))
    with pytest.raises(BadInput, match=r"output: a .*object was returned"):
        forward(Plain(lambda _: object()), both)
    with pytest.raises(BadInput, match="no array"):
        forward(Plain(lambda _: None), both)


def test_non_finite_outputs_are_never_the_same():
    bad = Plain(lambda x: torch.log(-x.abs()))
    report = forward(bad, bad)
    assert evaluation(report).verdict == "undecided"
    assert "nan" in evaluation(report).findings[0].note
    report = forward(Plain(lambda x: 2 * x), bad)
    assert evaluation(report).verdict == "differs"


def test_a_model_that_answers_twice_differently_is_named():
    state = {"count": 0}

    def counting(x):
        state["count"] += 1
        return x * state["count"]

    report = forward(Plain(counting), Plain(lambda x: x * 1.0))
    assert evaluation(report).verdict == "undecided"
    assert "PyTorch Plain answers twice differently" in evaluation(report).note


def test_a_model_that_jumps_is_undecided():
    def chaotic(x):
        return torch.sin(1e18 * x)

    report = forward(Plain(chaotic), Plain(chaotic))
    assert evaluation(report).verdict == "undecided"
    assert "ill-conditioned" in evaluation(report).findings[0].note


def test_a_kernel_without_float64_is_said():
    class Narrow(torch.autograd.Function):
        @staticmethod
        def forward(_context, x):
            raise NotImplementedError("\"mine_cpu\" not implemented for 'Double'")

    with pytest.raises(SideFailed, match="no float64"):
        forward(Plain(Narrow.apply), Plain(lambda x: x))


def test_an_error_of_the_model_has_its_place_and_no_traceback():
    def broken(_x):
        raise KeyError("oops")

    with pytest.raises(SideFailed, match=r"JAX <lambda>.*test_bad_input.py:\d+: KeyError: 'oops'"):
        forward(Plain(lambda x: x), function(broken))


def test_no_gradient_is_said_and_the_forward_still_judged():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(x).detach()

    with pytest.raises(BadInput, match="no parameter reaches the loss"):
        port.certify(Cut(), Cut(), (X,), precisions=())
    assert forward(Cut(), Cut()).passed


def test_frozen_parameters_are_named_and_not_compared():
    original = torch_models.MLP()
    original.fc1.weight.requires_grad_(False)
    report = port.certify(original, flax_models.MLP(), (X,), precisions=())
    assert report.passed
    gradients = next(rung for rung in report.rungs if rung.rung == "gradients")
    assert "fc1.weight" not in {found.tensor for found in gradients.findings}


def test_a_loss_that_is_no_scalar_is_refused():
    pair = port.Pair(
        port.Torch(torch_models.MLP(), loss=lambda z, _: z),
        port.Nnx(flax_models.MLP(), loss=lambda z, _: z),
        batches=[(X,)],
    )
    with pytest.raises(BadInput, match=r"loss: \(4, 3\) returned; allowed is a scalar"):
        pair.certify()


def test_what_is_no_model_and_no_batch_is_refused():
    with pytest.raises(BadInput, match="port: int given"):
        port.Pair(torch_models.MLP(), 3, batches=[(X,)])
    with pytest.raises(BadInput, match="batches: none given"):
        port.Pair(torch_models.MLP(), flax_models.MLP(), batches=[])
    with pytest.raises(BadInput, match=r"batches\[0\].0: 'text' given"):
        port.Pair(torch_models.MLP(), flax_models.MLP(), batches=[("text",)])
    with pytest.raises(BadInput, match="not finite"):
        port.Pair(torch_models.MLP(), flax_models.MLP(), batches=[(X * np.nan,)])


def test_nothing_but_zeros_is_not_the_same():
    dead = Plain(lambda x: torch.relu(-x.abs()))
    report = forward(dead, dead)
    assert evaluation(report).verdict == "not exercised"
    assert not report.passed


def test_draws_that_cannot_be_exchanged_are_said():
    noisy = Plain(lambda x: x + torch.rand(6))

    class Port(nnx.Module):
        def __call__(self, x):
            return x + jnp.full(6, 0.5)

    report = forward(noisy, Port())
    assert evaluation(report).verdict == "differs"
    assert "random numbers other than dropout masks" in evaluation(report).note
