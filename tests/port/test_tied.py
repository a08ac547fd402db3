"""A tensor that one side has once and the other twice: the same function, trained otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from twofold import port

TOKENS = np.random.default_rng(0).integers(0, 5, (4, 3))


class Words(nn.Module):
    """Embedding and head, tied or not."""

    def __init__(self, tied):
        super().__init__()
        self.tok = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        if tied:
            self.head.weight = self.tok.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.tok(tokens)))


def judged(original, ported, **options):
    torch.manual_seed(0)
    return port.Pair(
        *(
            port.Torch(
                Words(tied),
                call=lambda model, batch: model(batch[0]),
                loss=lambda outputs, _: (outputs**2).mean(),
                optimizer=lambda parameters: torch.optim.SGD(parameters, 0.1),
            )
            for tied in (original, ported)
        ),
        batches=[(TOKENS,)],
        **options,
    ).certify(steps=2, precisions=())


def verdicts(report):
    return {rung.rung: rung.verdict for rung in report.rungs}


@pytest.mark.parametrize("tied", [True, False])
def test_tied_alike_is_the_same_and_no_gradient_is_left_out(tied):
    report = judged(tied, tied)
    assert report.passed, report.summary()
    gradients = next(rung for rung in report.rungs if rung.rung == "gradients")
    assert {f.tensor for f in gradients.findings} >= {"tok.weight"}
    assert "not compared" not in gradients.note


def test_tied_in_the_original_alone_differs_from_the_first_step_on():
    report = judged(True, False)
    found = verdicts(report)
    assert found["gradients"] == "same"  # theirs add up to the original's
    assert found["step 1"] == "differs"
    assert "trained by the sum" in report.first_difference.evidence


def test_tied_in_the_port_alone_cannot_hold_the_weights():
    """The original's two tensors have other values, so nothing can be carried over."""
    report = judged(False, True)
    assert verdicts(report) == {"weights": "differs"}
    assert not report.passed
    assert "cannot hold" in report.first_difference.cause
    assert set(report.first_difference.tensor.split(", ")) == {"tok.weight", "head.weight"}
