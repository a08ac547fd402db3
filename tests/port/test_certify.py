"""Correct ports are the same function; a planted difference is found on the right rung."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch

from tests.port import flax_models, torch_models
from twofold import port
from twofold.port.pair import PortAssertion

IDS = np.random.default_rng(0).integers(0, 31, (2, 12))
IMAGES = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
ROWS = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)


def gpt(bug="", **options):
    torch.manual_seed(0)
    original, copy = torch_models.GPT(layers=2), flax_models.GPT(layers=2, bug=bug)
    return port.certify(original, copy, (IDS,), precisions=(), **options)


def resnet(bug=""):
    torch.manual_seed(0)
    original, copy = torch_models.ResNet(), flax_models.ResNet(bug=bug)
    return port.certify(original, copy, (IMAGES,), layouts={0: "NCHW->NHWC"}, precisions=())


def verdicts(report):
    return {rung.rung: rung.verdict for rung in report.rungs}


def failing(report):
    return [rung.rung for rung in report.rungs if rung.verdict == "differs"]


@pytest.fixture(scope="module")
def same_gpt():
    return gpt()


def test_a_correct_gpt_is_the_same_function(same_gpt):
    assert same_gpt.passed
    found = verdicts(same_gpt)
    assert {found[name] for name in ("forward, evaluation", "loss", "gradients")} == {"same"}
    assert found["buffers"] == "not exercised"
    gradients = next(rung for rung in same_gpt.rungs if rung.rung == "gradients")
    assert len(gradients.findings) == len(list(torch_models.GPT().parameters()))
    assert same_gpt.first_difference is None


def test_a_frozen_type_of_an_embedding_is_kept_wide_and_named(same_gpt):
    (found,) = same_gpt.narrowings
    assert found.side == "port"
    assert found.where.startswith("tests/port/flax_models.py:")
    assert (found.source, found.target) == ("float64", "float32")


@pytest.mark.parametrize("bug", ["eps", "gelu", "scale"])
def test_a_wrong_constant_differs_from_the_forward_on(bug):
    report = gpt(bug, gradients=False)
    assert not report.passed
    assert failing(report) == ["forward, evaluation"]
    assert report.first_difference.rung == "forward, evaluation"


def test_a_cast_to_bfloat16_inside_is_explained_with_its_line():
    report = gpt("bfloat16", gradients=False)
    assert report.passed
    (rung,) = [rung for rung in report.rungs if rung.rung == "forward, evaluation"]
    assert rung.verdict == "explained"
    assert "flax_models.py" in rung.explanation
    assert "bfloat16" in rung.explanation


def test_a_correct_resnet_is_the_same_but_for_the_unbiased_variance():
    report = resnet()
    assert report.passed
    found = verdicts(report)
    assert found["forward, training"] == found["gradients"] == "same"
    (buffers,) = [rung for rung in report.rungs if rung.rung == "buffers"]
    assert buffers.verdict == "explained"
    # 2 images: 64 values of the stem, 16 of layer1, 4 of layer2 for each channel and image.
    assert "n = 128, 32, 8 here" in buffers.explanation


def test_a_wrong_momentum_shows_in_the_buffers_alone():
    report = resnet("momentum")
    assert failing(report) == ["buffers"]
    assert report.first_difference.module.endswith(("bn1", "bn2"))


def test_same_padding_differs():
    assert "forward, evaluation" in failing(resnet("same"))


def test_weights_in_another_order_are_explained():
    report = resnet("flatten")
    (rung,) = [rung for rung in report.rungs if rung.rung == "weights"]
    assert rung.verdict == "explained"
    assert "fc.weight" in rung.explanation


def test_a_missing_bias_is_a_weight_without_a_partner():
    original = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Tanh())

    def function(parameters, x):
        return jax.numpy.tanh(x @ parameters["w"])

    with torch.no_grad():
        original[0].bias.zero_()
    report = port.certify(
        original, (function, {"w": np.zeros((6, 3), np.float32)}), (ROWS,), precisions=()
    )
    assert "weights" in failing(report)
    assert report.rungs[0].tensor == "0.bias"


@pytest.fixture(scope="module")
def linen():
    module = flax_models.LinenMLP()
    return module, module.init(jax.random.key(0), ROWS)


def test_torch_to_linen(linen):
    assert port.certify(torch_models.MLP(), linen, (ROWS,)).passed


def test_linen_to_nnx(linen):
    assert port.certify(linen, flax_models.MLP(), (ROWS,), precisions=()).passed
    assert not port.certify(linen, flax_models.MLP(epsilon=1e-6), (ROWS,), gradients=False).passed


def test_a_refactoring_of_the_same_framework():
    class Refactored(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Sequential(
                torch.nn.Linear(6, 8), torch.nn.LayerNorm(8), torch.nn.GELU(), torch.nn.Linear(8, 3)
            )

        def forward(self, x):
            return self.body(x)

    assert port.certify(torch_models.MLP(), Refactored(), (ROWS,)).passed


def test_a_part_of_a_model():
    pair = port.Pair(
        torch_models.GPT(),
        flax_models.GPT(),
        batches=[(np.random.default_rng(0).normal(size=(3, 16)),)],
        part={"blocks.0.fc1": "blocks.0.fc1"},
    )
    assert pair.certify(precisions=()).passed


def test_dropout_masks_of_the_original_are_used_on_both_sides():
    original = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.4))

    class Port(flax_models.nnx.Module):
        def __init__(self, rate):
            self.fc = flax_models.nnx.Linear(6, 8, rngs=flax_models.nnx.Rngs(0))
            self.drop = flax_models.nnx.Dropout(rate, rngs=flax_models.nnx.Rngs(1))

        def __call__(self, x):
            return self.drop(self.fc(x))

    report = port.certify(original, Port(0.4), (ROWS,), precisions=())
    assert report.passed
    (training,) = [rung for rung in report.rungs if rung.rung == "forward, training"]
    assert "1 dropout masks of the original" in training.note
    wrong = port.certify(original, Port(0.3), (ROWS,), precisions=())
    assert failing(wrong)[0] == "forward, training"


def test_a_wrong_model_that_overflows_in_float32_is_named():
    class Wide(torch.nn.Module):
        def forward(self, x):
            return torch.log(torch.exp(x * 100))

    report = port.certify(Wide(), Wide(), (np.array([[1.0, 2.0]]),), gradients=False)
    assert {r.verdict for r in report.rungs if r.rung == "float32"} == {"differs"}
    assert not report.passed


def test_assert_same_tells_the_whole_story():
    pair = port.Pair(torch_models.MLP(), flax_models.MLP(epsilon=1e-3), batches=[(ROWS,)])
    with pytest.raises(PortAssertion, match="First difference: forward, evaluation"):
        port.assert_same(pair, gradients=False, precisions=())


def test_the_fixture_on_a_small_model(same):
    report = same(torch_models.MLP(), flax_models.MLP(), (ROWS,))
    assert report.passed
