"""What the ladder sees of planted bugs in mixed precision, and what hides behind its bounds."""

from __future__ import annotations

from typing import Final

import pytest

from comparisons.evidence.mutants.bases import EXPERIMENTS
from comparisons.evidence.mutants.catalogue import CONTROLS, MUTANTS
from comparisons.evidence.mutants.hosts import HOSTS
from comparisons.evidence.mutants.mutant import Mutant
from comparisons.evidence.mutants.trial import sight
from twofold.errors import SpecError
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.layer_norm import LayerNorm
from twofold.spec.model import has

NOT_A_BUG_HERE: Final = frozenset(  # layers and gradients are bfloat16, slots float32
    {
        "bfloat16-products",
        "tf32-products",
        "three-bfloat16-passes",
        "float32-inside-float64",
        "bfloat16-gradients",
        "float32-moments",
    }
)
UNSEEN: Final = frozenset(
    {
        # smaller than the bound of a logit or of the loss
        "gelu-tanh",
        "gelu-exact",
        "quick-gelu",
        "swish-with-beta",
        "dropout-before-activation",
        "label-smoothing",
        "smoothing-over-the-others",
        "no-label-smoothing",
        "log-with-eps",
        "temperature",
        "elu-alpha-off",
        "smoothed-row-weighted-by-label",
        "divided-by-smoothed-weights",
        "smoothing-not-weighted",
        "class-weight-off",
        "huber-delta-off",
        # smaller than the bound of a gradient behind two hidden layers
        "weight-without-gradient",
        "detached-layer",
        "parts-weighted-equally",
        "parts-weighted-by-the-first",
        # added to a gradient, or a factor on it, before a slot sees it
        "sgd-no-decay-of-biases",
        "clipped-one-by-one",
        "clip-norm-doubled",
        "no-clipping",
        # smaller than the bounds of two steps
        "first-step-alone-decays",
    }
)


def has_norms(mutant: Mutant) -> bool:
    model = EXPERIMENTS[mutant.base].model
    return has(model, LayerNorm) or has(model, BatchNorm)


JUDGED: Final = [each for each in (*MUTANTS, *CONTROLS) if not has_norms(each)]


@pytest.mark.parametrize("base", sorted({m.base for m in (*MUTANTS, *CONTROLS) if has_norms(m)}))
def test_norms_in_mixed_precision_are_refused(base: str) -> None:
    """So their mutants are not asked here: no engine could be run."""
    with pytest.raises(SpecError, match='"mixed_bfloat16" given'):
        EXPERIMENTS[base].with_values(precision="mixed_bfloat16")


def test_the_lists_name_mutants() -> None:
    assert {mutant.name for mutant in MUTANTS} >= NOT_A_BUG_HERE | UNSEEN


@pytest.mark.parametrize("mutant", JUDGED, ids=lambda each: each.name)
def test_what_is_seen(mutant: Mutant) -> None:
    sighting = sight(mutant, HOSTS["torch"], "mixed_bfloat16")
    silent = mutant in CONTROLS or mutant.name in NOT_A_BUG_HERE | UNSEEN
    assert (sighting.rung is None) == silent, sighting
