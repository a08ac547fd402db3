"""Labels that are written as real numbers stay what they are in twins."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from twofold import port
from twofold.port.judge.batches import Batches

RNG = np.random.default_rng(0)
X, SIGNS = RNG.normal(size=(6, 3)), np.sign(RNG.normal(size=(6, 2)))


def hinge(outputs, batch):
    """As `hinge_embedding_loss` has it: labels are asked for 1 and -1."""
    y = batch[1]
    zero = torch.zeros_like(outputs)
    of_ones = torch.where(y == 1, outputs, zero)
    return (of_ones + torch.where(y == -1, torch.clamp(1 - outputs, min=0), zero)).mean()


def hinge_by_library(outputs, batch):
    return nn.functional.hinge_embedding_loss(outputs, batch[1])


def test_a_loss_may_ask_whether_a_label_is_one():
    torch.manual_seed(0)
    sides = [port.Torch(nn.Linear(3, 2), loss=loss) for loss in (hinge, hinge_by_library)]
    report = port.Pair(*sides, batches=[(X, SIGNS)]).certify(precisions=())
    assert report.passed, report.summary()
    loss = next(rung for rung in report.rungs if rung.rung == "loss")
    assert loss.ratio is not None


def test_twins_move_numbers_and_keep_whole_ones():
    batches = Batches([{"x": X, "y": SIGNS, "counts": np.float32([0, 3])}], {}, seed=0)
    point, twin = batches.original(0), batches.original(0, twin=1)
    assert (point["x"] != twin["x"]).any()
    np.testing.assert_array_equal(point["y"], twin["y"])
    np.testing.assert_array_equal(twin["counts"], [0.0, 3.0])
    assert twin["counts"].dtype == np.float64
