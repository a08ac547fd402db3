"""Mappings that are found: models of many kinds, under their own names, renamed, and blind.

Renamed, every module is called otherwise and defined in another order; blind, kinds of layers and
names of leaves are unknown too, so that the order of first use and shapes decide. Every pair that a
person wrote down has to be found, and no other. The forward of converted weights in float64 is a
second witness.
"""

from __future__ import annotations

import re

import mapped_gpt
import mapped_images
import mapped_recurrent
import numpy as np
import pytest
from mapping_checks import found, right_and_wanted

from twofold.errors import BadInput

CASES = {
    "GPT, packed attention, NNX": (mapped_gpt.module_to_nnx, 53),
    "GPT, packed attention, Linen": (mapped_gpt.module_to_linen, 53),
    "GPT, fused projection, NNX": (mapped_gpt.fused_to_nnx, 53),
    "GPT, fused on the other side": (mapped_gpt.nnx_apart_to_nnx_fused, 53),
    "GPT, fused projection, a function": (mapped_gpt.fused_to_function, 41),
    "GPT, packed attention, a function": (mapped_gpt.module_to_function, 53),
    "GPT, stacked layers in a scan": (mapped_gpt.fused_to_scan, 41),
    "GPT, tied": (lambda: mapped_gpt.module_to_nnx(True), 52),
    "GPT, tied in the original": (lambda: mapped_gpt.module_to_nnx(True, False), 53),
    "ResNet, NNX": (mapped_images.resnet_to_nnx, 59),
    "ResNet, Linen": (mapped_images.resnet_to_linen, 59),
    "ViT, NNX": (mapped_images.vit_to_nnx, 40),
    "ViT, patches by a dense layer": (lambda: mapped_images.vit_to_nnx(True), 40),
    "convolutions": (mapped_images.convolutions, 18),
    "convolutions, kernels turned": (lambda: mapped_images.convolutions(True), 18),
    "transposed in groups": (mapped_images.grouped_transposed, 2),
    "LSTM, NNX": (mapped_recurrent.lstm_to_packed_cells, 10),
    "LSTM, gates apart, NNX": (mapped_recurrent.lstm_to_gates_apart, 34),
    "LSTM, gates apart, Linen": (lambda: mapped_recurrent.lstm_to_gates_apart(True), 34),
    "LSTM in both directions": (mapped_recurrent.bidirectional, 10),
    "LSTM cell": (mapped_recurrent.lstm_cell, 6),
    "GRU, Linen": (mapped_recurrent.gru_to_linen, 26),
    "GRU, NNX": (mapped_recurrent.gru_to_nnx, 12),
    "simple cells": (mapped_recurrent.simple_cells, 10),
}
# Without kinds of layers nothing says which gate is which, nor that a GRU's biases are one.
NOT_BLIND = {"LSTM, gates apart, NNX", "LSTM, gates apart, Linen", "GRU, Linen", "GRU, NNX"}


@pytest.fixture(scope="module")
def case_of():
    made = {}

    def case(name):
        if name not in made:
            made[name] = CASES[name][0]()
        return made[name]

    return case


@pytest.mark.parametrize(
    ("name", "how"),
    [
        (name, how)
        for name in CASES
        for how in ("own names", "renamed", "blind")
        if how != "blind" or name not in NOT_BLIND
    ],
)
def test_every_pair_is_found_and_no_other(name, how, case_of):
    case = case_of(name)
    assert len(case.pairs) == CASES[name][1]
    weights, names = found(case, how)
    right, missing, wrong = right_and_wanted(weights, case.pairs, names)
    assert (right, missing, wrong) == (len(case.pairs), [], [])
    assert set(weights.left_over[0]) == set(case.left[0])
    assert set(weights.left_over[1]) == {names[name] for name in case.left[1]}


@pytest.mark.parametrize("name", CASES)
def test_the_forward_agrees_in_float64(name, case_of):
    case = case_of(name)
    weights, _ = found(case, "own names")
    assert case.distance(weights) < 1e-13


@pytest.mark.parametrize("seed", range(5))
def test_names_and_orders_of_definition_do_not_matter(seed, case_of):
    case = case_of("GPT, packed attention, NNX")
    weights, names = found(case, "blind", seed)
    assert right_and_wanted(weights, case.pairs, names) == (53, [], [])


def test_how_each_was_found(case_of):
    def ways(how):
        return {link.how for link in found(case_of("ResNet, NNX"), how)[0].links}

    assert ways("own names") <= {"path", "layer type", "first use", "shape"}
    assert "path" not in ways("renamed")
    assert "first use" in ways("blind")


def test_kinds_of_links(case_of):
    kinds = {
        "GPT, packed attention, NNX": {"one", "packed"},
        "GPT, tied in the original": {"one", "packed", "tied"},
        "GPT, stacked layers in a scan": {"one", "packed"},
        "LSTM, NNX": {"one", "merged"},
    }
    for name, wanted in kinds.items():
        weights, _ = found(case_of(name), "own names")
        assert {link.kind for link in weights.links} == wanted


def test_a_tensor_that_both_sides_tie_has_one_gradient(case_of):
    """Each side uses it twice; its gradient is already the sum, and is carried as it is."""
    weights, _ = found(case_of("GPT, tied"), "own names")
    (link,) = (link for link in weights.links if "tok.weight" in link.original)
    assert (link.original, link.port, link.kind) == (("tok.weight",), ("tok.embedding",), "one")
    gradient = np.random.default_rng(0).normal(size=weights.port.shapes["tok.embedding"])
    back = weights.to_original({"tok.embedding": gradient}, "gradients")
    np.testing.assert_array_equal(back["tok.weight"], gradient)


def test_float64_decides_what_is_interleaved():
    case = mapped_gpt.fused_to_nnx("interleaved")
    weights, names = found(case, "own names")
    assert [choice.kind for choice in weights.open_choices] == ["packing"]
    assert case.distance(weights) > 0.1
    settled = weights.settle(case.distance, enough=1e-13)
    assert not settled.open_choices
    assert case.distance(settled) < 1e-13
    assert right_and_wanted(settled, case.pairs, names) == (53, [], [])
    packed = [link for link in settled.links if link.how == "float64"]
    assert len(packed) == 2 * mapped_gpt.LAYERS
    assert str(packed[0].transform[1].axes) == "(heads 1/3 dim=4) in -> in (heads dim=4)"


def test_float64_decides_how_three_parts_of_outputs_lie():
    """(heads, 3, dim) in one matrix of the original, (in, 3, heads, dim) in the port."""
    case = mapped_gpt.fused_to_function("interleaved")
    weights, names = found(case, "own names")
    assert case.distance(weights) > 0.1
    settled = weights.settle(case.distance, enough=1e-13)
    assert case.distance(settled) < 1e-13
    assert right_and_wanted(settled, case.pairs, names) == (41, [], [])
    [packed] = [link for link in settled.links if link.original == ("blocks.0.qkv.weight",)]
    assert packed.how == "float64"
    text = "(out2 out1=3 out3=4) in -> in out1 out2 out3"  # out2 are the heads, out1 the three
    assert str(packed.transform[0].axes) == text


def test_float64_decides_how_maps_are_flattened():
    case = mapped_images.resnet_to_nnx(permute=False)
    weights, _ = found(case, "own names")
    assert [choice.kind for choice in weights.open_choices] == ["flattening"]
    assert case.distance(weights) > 0.1
    settled = weights.settle(case.distance, enough=1e-13)
    assert case.distance(settled) < 1e-13
    [link] = [link for link in settled.links if link.how == "float64"]
    assert link.original == ("fc1.weight",)
    assert str(link.transform[0].axes) == "out (c h=2 w=2) -> (h w=2 c=16) out"


def test_nothing_is_settled_that_does_not_fit(case_of):
    weights, _ = found(case_of("ResNet, NNX"), "own names")
    settled = weights.settle(lambda _: float("nan"))
    assert settled.open_choices == weights.open_choices
    assert settled.picks == weights.picks


def test_tensors_that_the_port_ties_have_to_be_equal():
    case = mapped_gpt.module_to_nnx(False, True)
    weights, names = found(case, "own names")
    assert right_and_wanted(weights, case.pairs, names) == (53, [], [])
    [tied] = [link for link in weights.links if link.kind == "tied"]
    assert (tied.original, tied.port) == (("tok.weight", "head.weight"), ("tok.embedding",))
    message = "head.weight: its values are not those of the other tensors that become tok.embedding"
    with pytest.raises(BadInput, match=re.escape(message)):
        case.distance(weights)
