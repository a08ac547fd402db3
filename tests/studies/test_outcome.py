"""Outcome equivalence: independent seeds, native draws, one data set, an honest verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold import Experiment
from twofold.errors import DataError, SpecError
from twofold.results.json_files import read_json, write_json
from twofold.studies.outcome import MARGINS, OutcomeResult, Sample, compare_samples, measure


def short(name: str = "breast-cancer") -> Experiment:
    return Experiment.load(name).with_values(training__steps=5, training__epochs=None)


@pytest.fixture(scope="module")
def result() -> OutcomeResult:
    return measure(short(), seeds=2)


def test_no_two_runs_share_a_seed_and_none_is_shared_rng(result: OutcomeResult) -> None:
    assert [sample.engine for sample in result.samples] == ["torch:eager", "flax:jit"]
    assert [sample.seeds for sample in result.samples] == [(0, 1), (2, 3)]
    assert result.experiment.rng == "native"
    assert result.metric == "accuracy"
    assert result.margin == MARGINS["accuracy"]


def test_values_are_test_metrics_and_repeat(result: OutcomeResult) -> None:
    """A share of 114 test rows, and the same again for the same seeds."""
    for sample in result.samples:
        for value in sample.finished:
            assert value * 114 == pytest.approx(round(value * 114), abs=1e-9)
    again = measure(short(), seeds=2)
    assert again.samples == result.samples


def test_seeds_differ_in_their_outcome() -> None:
    result = measure(short("diabetes"), seeds=2)
    assert result.metric == "R^2"
    for sample in result.samples:
        assert len(set(sample.values)) == 2


def test_the_result_is_json(result: OutcomeResult, tmp_path: Path) -> None:
    path = write_json(tmp_path / "outcome.json", result.to_json(), non_finite="refuse")
    stored = read_json(path, "twofold.outcome/1")
    assert stored["pairs"][0]["left"] == "torch:eager"
    assert stored["pairs"][0]["verdict"] in ("equivalent", "different", "undecided")
    assert stored["samples"][1]["seeds"] == [2, 3]


def test_a_run_that_diverged_leaves_it_undecided() -> None:
    left, right = Sample("a", (0, 1), (0.9, None)), Sample("b", (2, 3), (0.9, 0.91))
    pair = compare_samples(left, right, 0.01)
    assert pair.verdict == "undecided"
    assert pair.comparison is None
    assert pair.reason == "1 of 4 runs diverged"


def test_the_reason_has_the_interval_and_how_many_seeds_would_decide() -> None:
    left = Sample("a", (0, 1, 2), (0.90, 0.85, 0.95))
    right = Sample("b", (3, 4, 5), (0.91, 0.84, 0.96))
    pair = compare_samples(left, right, 0.01)
    assert pair.verdict == "undecided"
    assert pair.comparison is not None
    assert f"about {pair.comparison.samples_to_decide} seeds would decide" in pair.reason
    wide = compare_samples(left, right, 1.0)
    assert wide.verdict == "equivalent"
    assert "90% interval" in wide.reason
    assert "lies within the margin of 1" in wide.reason


def test_bad_requests_are_refused() -> None:
    with pytest.raises(SpecError, match="seeds: 1 given"):
        measure(short(), seeds=1)
    with pytest.raises(SpecError, match="margin: 0"):
        measure(short(), seeds=2, margin=0.0)
    with pytest.raises(SpecError, match="engines"):
        measure(short(), seeds=2, engines=["flax:jit", "flax:jit"])
    with pytest.raises(SpecError, match="no test rows"):
        measure(short("lesson"), seeds=2)
    one_row = short("diabetes").with_values(data__test_fraction=0.003)
    with pytest.raises(DataError, match=r"R\^2 has no value on 1 test row"):
        measure(one_row, seeds=2)
    with pytest.raises(SpecError, match="seed: 4294967295"):
        measure(short().with_values(seed=2**32 - 1), seeds=2)
