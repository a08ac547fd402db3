"""Seeded porting bugs are caught; written-out correct code is not."""

from __future__ import annotations

import pytest

from comparisons.evidence.mutants import embedding_bugs, norm_bugs
from comparisons.evidence.mutants.catalogue import CONTROLS, MUTANTS
from comparisons.evidence.mutants.hosts import HOSTS
from comparisons.evidence.mutants.mutant import Mutant
from comparisons.evidence.mutants.trial import sight
from comparisons.mutants import together
from twofold.spec.experiment import Precision

# One of each theme for the fast tests, where a fixed tolerance is blind if there is such a one.
QUICK = (
    "transposed-weight",
    "dropout-without-gradient-mask",
    "gelu-tanh",
    "masks-of-the-next-step",
    "three-bfloat16-passes",
    "configured-batch-size",
    "decay-1e-4",
    "decay-after-update",
    "momentum-forgotten",
    "clipped-one-by-one",
    "parts-weighted-equally",
    "gradients-cleared-between-parts",
    "same-masks-for-each-part",
    "batches-exchanged-in-a-call",
    "count-stands-in-a-call",
    "last-step-lost-in-a-call",
    "weighted-mean-over-rows",
    "pos-weight-on-negatives",
    "smooth-l1",
    "decay-of-biases",
    "step-off-by-one",
    "leaky-slope-0.2",
    "elu-alpha-off",
    "he-for-lecun",
    "untruncated-normal",
    "first-step-alone-decays",
    "slots-stand-in-a-call",
    "with-replacement",
    "init-zero-bias",
    "slots-not-restored",
    *(mutant.name for mutant in norm_bugs.MUTANTS),
)


def seen(mutant: Mutant, host: str) -> bool:
    """Whether the ladder sees a mutant in float32 or else in float64."""
    where = HOSTS[host]
    return any(sight(mutant, where, p).rung is not None for p in ("float32", "float64"))


def named(name: str) -> Mutant:
    (mutant,) = (m for m in (*MUTANTS, *CONTROLS) if m.name == name)
    return mutant


def test_there_are_enough_mutants_and_no_name_twice() -> None:
    assert len(MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        assert (mutant.plant is None) != (mutant.change is None)


@pytest.mark.parametrize("name", QUICK)
def test_a_mutant_of_each_theme_is_caught(name: str) -> None:
    assert seen(named(name), "torch")


@pytest.mark.parametrize(
    "name", ["gelu-tanh", "decay-after-update", "parts-not-scaled", "parts-weighted-by-rows"]
)
def test_mutants_are_caught_in_flax_as_well(name: str) -> None:
    assert seen(named(name), "flax")


@pytest.mark.parametrize(
    ("host", "precision"),
    [
        ("torch", "float32"),
        ("torch", "float64"),
        ("flax", "float32"),
        pytest.param("flax", "float64", marks=pytest.mark.slow),
    ],
)
def test_mutants_of_embeddings_are_caught_in_each_precision_alone(
    host: str, precision: Precision
) -> None:
    for mutant in embedding_bugs.MUTANTS:
        assert sight(mutant, HOSTS[host], precision).rung is not None, mutant.name
    for control in embedding_bugs.CONTROLS:
        assert sight(control, HOSTS[host], precision).rung is None, control.name


@pytest.mark.parametrize("host", ["torch", "flax"])
def test_mutants_of_norms_and_residuals_are_caught_in_float32_alone(host: str) -> None:
    """No wide bound hides one; without a bug the same experiments pass."""
    for mutant in norm_bugs.MUTANTS:
        assert sight(mutant, HOSTS[host], "float32").rung is not None, mutant.name
    assert sight(named("control-batch-norm"), HOSTS[host], "float32").rung is None


def test_the_biased_running_variance_is_a_bug_in_pytorch() -> None:
    sighting = sight(norm_bugs.BIASED, HOSTS["torch"], "float32")
    assert sighting.rung == "buffers (fresh)"


def test_a_precision_of_float32_is_seen_in_float64_alone() -> None:
    mutant = named("float32-inside-float64")
    assert sight(mutant, HOSTS["torch"], "float32").rung is None
    assert sight(mutant, HOSTS["torch"], "float64").rung == "forward"


@pytest.mark.parametrize("host", ["torch", "flax"])
def test_a_bug_of_several_steps_in_one_call_shows_on_its_own_rung_alone(host: str) -> None:
    sighting = sight(named("same-batch-in-a-call"), HOSTS[host], "float32")
    assert sighting.rung == "multi-step execution"
    assert sighting.note.endswith("the same steps one by one hold")


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_correct_code_written_out_passes(control: Mutant) -> None:
    """The seams themselves add nothing that the ladder would see."""
    assert not seen(control, "torch")


def test_new_rows_take_their_place_among_stored_ones() -> None:
    first, second, third = ({"name": mutant.name, "run": 1} for mutant in MUTANTS[:3])
    again = {**second, "run": 2}
    gone = {"name": "no longer in the catalogue", "run": 1}
    assert together([first, second, gone], [again, third]) == [first, again, third]


@pytest.mark.slow
@pytest.mark.parametrize("host", ["torch", "flax"])
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant, host: str) -> None:
    assert seen(mutant, host)
