"""Micro-batches that are added up wrongly are told by their own causes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import twofold_torch.accumulation
import twofold_torch.program

from comparisons.evidence.mutants import bases
from comparisons.evidence.mutants.accumulation_bugs import BASE, MUTANTS, cut, shares
from comparisons.evidence.mutants.hosts import HOSTS, Host
from twofold import Experiment, open_session
from twofold.backends.installed import backend
from twofold.parity.certify import climb_subject
from twofold.parity.diagnosis.catalogue import causes_of
from twofold.parity.diagnosis.causes_of_accumulation import (
    of_accumulated_gradients,
    of_accumulation,
    of_told_loss,
)
from twofold.parity.diagnosis.diagnose import diagnose
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.rungs import LADDER, gradients_rung, loss_rung
from twofold.problem.micro_batches import Part
from twofold.problem.problem import dropout_masks

NAMED = {
    "parts-not-scaled": "the parts' means are added without their shares",
    "parts-weighted-equally": "each part counts as much as any other, though they are unequal",
    "parts-weighted-by-the-first": "every part is taken for one as large as the first",
    "last-part-forgotten": "the last part is left out",
    "gradients-cleared-between-parts": "only the last part is left (in the gradients alone)",
    "same-masks-for-each-part": "every part has the masks of the first rows",
}
RUNG_OF_LAST_BATCH = "step-locked training"


def subject_of(host: Host) -> Subject:
    reference = bases.reference(BASE, "float64")
    session = open_session(reference.problem, host.engine)
    return Subject(session, backend(host.name), reference, steps=3)


def first_failure(host: Host, planted: AbstractContextManager[Any]) -> Rung:
    """The first rung at which a host with a bug diverges, with its diagnosis, in float64."""
    with planted:
        subject = subject_of(host)
        for _, judge in LADDER:
            for rung in diagnose(subject, judge(subject)):
                if rung.verdict == "diverges":
                    return rung
    raise AssertionError("not caught")


def likeliest(rung: Rung) -> str:
    """The first of the causes that account for every element."""
    return told(rung)[0]


def told(rung: Rung) -> list[str]:
    """All causes that account for every element."""
    lines = [line for line in rung.diagnosis if line.startswith(("likely cause", "  or  "))]
    first, whole, rest = lines[0].partition(": it accounts for every element")
    assert whole
    assert not rest
    others = [line.removeprefix("  or") for line in lines[1:]]
    return [words.strip() for words in (first.removeprefix("likely cause"), *others)]


@pytest.mark.parametrize("host", ["torch", pytest.param("flax", marks=pytest.mark.slow)])
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_planted_bug_is_the_likeliest_cause(mutant: Any, host: str) -> None:
    rung = first_failure(HOSTS[host], mutant.plant(HOSTS[host]))
    assert rung.rung == ("gradients" if "gradients" in mutant.name else "loss")
    assert likeliest(rung) == NAMED[mutant.name]


def equal_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    size = parts[-1].stop // len(parts)
    return tuple(Part(n * size, (n + 1) * size, 1.0 / len(parts)) for n in range(len(parts)))


def kept_mean(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    kept = parts[:-1]
    return tuple(replace(part, share=(part.stop - part.start) / kept[-1].stop) for part in kept)


PLANTS: dict[str, Callable[[Host], AbstractContextManager[Any]]] = {
    "the first part is left out": cut(lambda parts: parts[1:]),
    "the last part is left out, the mean is over the others": cut(kept_mean),
    "only the last part is left": cut(lambda parts: parts[-1:]),
    "only the last part is left, as if it were the whole batch": cut(
        lambda parts: (replace(parts[-1], share=1.0),)
    ),
    "the rows that equal parts leave over are dropped": cut(equal_parts),
    "each part's share is one of the configured batch size": shares(
        lambda part, _: (part.stop - part.start) / bases.BATCH
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("words", PLANTS)
def test_other_ways_to_add_up_wrongly_have_their_cause(words: str) -> None:
    rung = first_failure(HOSTS["torch"], PLANTS[words](HOSTS["torch"]))
    assert (rung.rung == RUNG_OF_LAST_BATCH) == ("configured" in words)
    assert words in told(rung)  # of 3, 3 and 2 rows, equal parts leave over as many as the last has
    assert len(told(rung)) <= 2


def test_parts_that_count_as_steps_have_their_cause() -> None:
    """Each part draws its masks as a step of its own would; the keys tell which step it is."""
    problem = bases.reference(BASE, "float64").problem

    def of_own_step(masks: Any, rows: slice) -> Any:
        step = next(
            step
            for step in range(4)
            if np.array_equal(masks[0], dropout_masks(problem, step, bases.BATCH)[0])
        )
        place = [0, 3, 6].index(rows.start)
        drawn = dropout_masks(problem, 3 * step + place, rows.stop - rows.start)
        return tuple(masks[0].new_tensor(mask) for mask in drawn)

    planted = patch.object(twofold_torch.accumulation, "rows_of", of_own_step)
    rung = first_failure(HOSTS["torch"], planted)
    assert rung.rung == "loss"
    assert "the parts count as steps" in likeliest(rung)


def test_a_step_that_tells_the_last_parts_loss_has_its_cause() -> None:
    """`loss` after the loop over the parts is the last one's; the step itself is right."""
    program = twofold_torch.program

    def train_step(self: Any, *given: Any) -> Any:
        with patch.object(program, "reduce", lambda _, losses: losses[-1]):
            loss = self.backward(*given)
        self.update()
        return loss

    rung = first_failure(HOSTS["torch"], patch.object(program.Program, "train_step", train_step))
    assert rung.rung == "update (fresh)"
    assert likeliest(rung) == "only the last part is left (in the loss that is told alone)"


@pytest.mark.parametrize("host", HOSTS)
def test_a_correct_engine_is_silent_and_fits_none_of_the_causes(host: str) -> None:
    """Each cause is a difference that the bounds can tell; shares of the last batch come later."""
    subject = subject_of(HOSTS[host])
    rungs = climb_subject(subject, LADDER)
    assert all(rung.diagnosis == () for rung in rungs)
    assert all(rung.verdict in ("certified", "explained") for rung in rungs)
    experiment = subject.reference.problem.experiment
    for of_rung, judge in (
        (of_accumulation, loss_rung),
        (of_accumulated_gradients, gradients_rung),
    ):
        for cause in of_rung(experiment):
            changed = replace(subject, reference=cause.change(subject.reference))
            told = judge(changed).verdict == "diverges"
            assert told != ("configured" in cause.words), cause.words


def test_causes_are_offered_where_they_can_be() -> None:
    parts = bases.EXPERIMENTS[BASE]

    def words(experiment: Experiment) -> str:
        causes = (*of_accumulation(experiment), *of_accumulated_gradients(experiment))
        return "\n".join(cause.words for cause in (*causes, *of_told_loss(experiment)))

    assert words(parts.with_values(training__micro_batches=1)) == ""
    assert "masks" not in words(parts.with_values(model__dropout=0.0))
    equal = words(parts.with_values(training__micro_batches=4, data__drop_last=True))
    assert "the first part is left out" in equal
    assert "unequal" not in equal
    assert "configured" not in words(parts.with_values(data__drop_last=True))
    assert "configured" in words(parts)


@pytest.mark.parametrize("rung", ["loss", "gradients", "update (warm)", "step-locked training"])
def test_every_cause_changes_the_oracle_without_an_error(rung: str) -> None:
    reference = bases.reference(BASE, "float32")
    causes = causes_of(reference.problem.experiment, rung)
    assert len({cause.words for cause in causes}) == len(causes)
    for cause in causes:
        cause.change(reference)
