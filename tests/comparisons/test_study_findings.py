"""The guide's further studies: hand-made results in, checked sentences and rows out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hand_made_results import ENVIRONMENT, measured, ratio, unmeasured

from twofold.report.evidence import Evidence, load
from twofold.report.guide import compose
from twofold.report.study_findings import find_studies
from twofold.results.json_files import write_json

EXPERIMENT = {"name": "digits", "seed": 0}
OUTCOME = {
    "schema": "twofold.outcome/1",
    "experiment": EXPERIMENT,
    "environment": ENVIRONMENT,
    "metric": "accuracy",
    "margin": 0.01,
    "samples": [
        {"engine": "torch:eager", "seeds": [0, 1, 2], "values": [0.9, 0.92, 0.94]},
        {"engine": "flax:jit", "seeds": [0, 1, 2], "values": [0.91, None, 0.93]},
    ],
    "pairs": [
        {
            "left": "torch:eager",
            "right": "flax:jit",
            "verdict": "undecided",
            "reason": "5 seeds would decide",
        }
    ],
}


def curve(kind: str, left: str, right: str, last: float, *partings: Any) -> dict[str, Any]:
    named = [{"tensor": tensor, "step": step} for tensor, step in partings]
    distance = [1e-8, last]
    return {"kind": kind, "left": left, "right": right, "distance": distance, "partings": named}


DIVERGENCE = {
    "schema": "twofold.divergence/1",
    "experiment": EXPERIMENT,
    "environment": ENVIRONMENT,
    "steps": [1, 1000],
    "parted_above": 1e-5,
    "curves": [
        curve("from float64", "torch:eager", "float64", 1e-4, ("b", 7), ("a", 7), ("c", 90)),
        curve("between engines", "torch:eager", "flax:jit", 1e-6),
        curve("noise floor", "torch:eager", "torch:eager", 3e-7),
        curve("noise floor", "torch:eager", "torch:eager", 5e-7),
    ],
}


def timed(kind: str, names: tuple[str, str, str]) -> dict[str, Any]:
    """Three subjects: the reference at 2 ms, one at 1 ms, one that failed."""
    slow, fast, failed = names
    found = {**ratio(fast, 0.5, 0.45, 0.55, "faster"), "reference": slow}
    lost = {**ratio(failed, 0.0, 0.0, 0.0, "could not be measured"), "reference": slow}
    return {
        "schema": f"twofold.{kind}/1",
        "experiment": EXPERIMENT,
        "environment": ENVIRONMENT,
        "timings": [
            measured(slow, 0.1, 0.002, 0.0019, 0.0021),
            unmeasured(failed, "failed", "not installed"),
            measured(fast, 0.1, 0.001, 0.0009, 0.0011),
        ],
        "reference": slow,
        "ratios": [lost | {"median": None, "low": None, "high": None}, found],
    }


FEEDING = timed("feeding", ("feed:torch-loader", "feed:torch-indexing", "feed:flax-prefetch"))
PEERS = timed("peers", ("torch:eager", "peer:keras-jax", "peer:skorch")) | {
    "unlike": {"peer:keras-jax": "own order of batches"}
}


def target(name: str, figure: float | None, **more: Any) -> dict[str, Any]:
    entry = {"name": name, "subject": "torch:eager", "reference": "x", "figure": figure}
    limits = {"at_most": None, "at_least": None, "low": None, "high": None, "reason": ""}
    return entry | limits | more


TARGETS = {
    "schema": "twofold.targets/1",
    "environment": ENVIRONMENT,
    "targets": [
        target("near by hand", 1.01, at_most=1.03, low=0.99, high=1.02, outcome="met"),
        target("busy", 0.5, at_least=0.8, outcome="missed"),
        target("with keras", None, at_most=1.0, outcome="could not be measured", reason="no keras"),
    ],
}


@pytest.fixture
def studies() -> Evidence:
    """One result of each further study."""
    return Evidence(
        outcome=(OUTCOME,),
        divergence=(DIVERGENCE,),
        feeding=(FEEDING,),
        peers=(PEERS,),
        targets=(TARGETS,),
    )


def test_without_results_nothing_is_said(evidence: Evidence) -> None:
    found = find_studies(evidence)
    assert not any((found.outcomes, found.free_runs, found.feeding, found.peers, found.targets))
    assert "\n### With many seeds" not in compose(evidence).markdown


def test_seeds_that_diverged_are_counted_but_not_averaged(studies: Evidence) -> None:
    torch, flax = find_studies(studies).outcomes[0].samples
    assert (torch.seeds, torch.mean, torch.spread) == (3, pytest.approx(0.92), pytest.approx(0.02))
    assert (flax.seeds, flax.mean) == (3, pytest.approx(0.92))
    assert flax.spread == pytest.approx(0.02 / 2**0.5)
    assert "flax:jit: undecided.** 5 seeds would decide." in compose(studies).markdown


def test_a_free_run_stands_beside_the_larger_of_its_floors(studies: Evidence) -> None:
    alone, between = find_studies(studies).free_runs[0].runs
    assert (alone.first, alone.last, alone.floor) == (1e-8, 1e-4, 5e-7)
    assert alone.parted == "b, a at step 7"
    assert between.parted == "none"
    markdown = compose(studies).markdown
    assert "| digits, 1,000 steps | torch:eager | float64 | 1.00e-08 | 1.00e-04 |" in markdown
    assert "figures/divergence-digits.svg" in markdown


def test_the_fastest_comes_first_and_a_failure_last(studies: Evidence) -> None:
    table = find_studies(studies).feeding[0]
    names = [subject.name for subject in table.subjects]
    assert names == ["feed:torch-indexing", "feed:torch-loader", "feed:flax-prefetch"]
    markdown = compose(studies).markdown
    assert "faster: 2.00 times as fast (1.82 to 2.22)" in markdown
    assert "could not be measured (not installed)" in markdown
    assert "| own order of batches |" in markdown


def test_targets_say_figure_limit_and_outcome(studies: Evidence) -> None:
    lines = compose(studies).markdown.splitlines()
    assert "| near by hand | torch:eager | 1.01 | 0.990 to 1.02 | at most 1.03 | met |" in lines
    assert "| busy | torch:eager | 0.500 | – | at least 0.80 | missed |" in lines
    assert (
        "| with keras | torch:eager | – | – | at most 1.00 | could not be measured: no keras |"
        in lines
    )


def test_each_kind_is_found_by_the_name_of_its_file(studies: Evidence, tmp_path: Path) -> None:
    for kind in ("outcome", "divergence", "feeding", "peers", "targets"):
        write_json(tmp_path / f"{kind}-x.json", studies.of_kind(kind)[0])
    assert compose(load(tmp_path)).markdown == compose(studies).markdown
