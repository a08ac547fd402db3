"""Engines with one thread against two: ratios worked out by hand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hand_made_results import ENVIRONMENT

from comparisons.machines.page import page
from comparisons.machines.stored import load_machines
from comparisons.machines.threads import QUICKEST, ratios_of
from twofold.results.json_files import write_json
from twofold.studies.advice.measured_point import Point
from twofold.studies.advice.workload import Workload

SMALL, MIDDLE, LARGE, ALONE = (
    Workload((8, width, 3), 64, 2, 4, False) for width in (16, 64, 256, 512)
)


def points(steps: dict[str, dict[Workload, float]]) -> list[Point]:
    return [
        Point(engine, workload, False, 0.0, 0.0, 0.0, 0, seconds)
        for engine, own in steps.items()
        for workload, seconds in own.items()
    ]


ONE = points(
    {
        "torch:eager": {SMALL: 1.0, MIDDLE: 2.0, LARGE: 8.0, ALONE: 9.0},
        "flax:scan": {SMALL: 0.5, MIDDLE: 3.0, LARGE: 9.0},
        "flax:jit": {SMALL: 0.1},
    }
)
TWO = points(
    {
        "torch:eager": {SMALL: 2.0, MIDDLE: 2.5, LARGE: 4.0},
        "flax:scan": {SMALL: 1.0, MIDDLE: 2.0, LARGE: 6.0},
    }
)


def test_ratios_are_of_workloads_and_engines_that_both_have() -> None:
    found = {engine: [r.value for r in ratios] for engine, ratios in ratios_of(ONE, TWO).items()}
    assert found["torch:eager"] == [0.5, 0.8, 2.0]
    assert found["flax:scan"] == [0.5, 1.5, 1.5]
    # with one thread 0.5, 2 and 8, with two 1, 2 and 4, of whichever engine
    assert found[QUICKEST] == [0.5, 1.0, 2.0]
    assert "flax:jit" not in found


def calibration(threads: int, measured: list[Point]) -> dict[str, Any]:
    environment = {**ENVIRONMENT, "threads": threads}
    given = [asdict(point) for point in measured]
    return {"schema": "twofold.calibration/1", "environment": environment, "points": given}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for threads, measured in ((1, ONE), (2, TWO)):
        name = f"calibration-advice-{threads}-threads.json"
        write_json(tmp_path / "testonium" / name, calibration(threads, measured))
    return tmp_path


def test_the_page_says_which_number_of_threads_is_quicker(results: Path) -> None:
    lines = page(load_machines(results), "results").splitlines()
    assert "## One thread or several?" in lines
    assert "| machine | engine | small | large | quicker with 1 thread |" in lines
    assert "| Testonium 9000 | torch:eager | 0.65 | 2.00 | 2 of 3 workloads |" in lines
    assert "| Testonium 9000 | flax:scan | 1.00 | 1.50 | 1 of 3 workloads |" in lines
    assert f"| Testonium 9000 | {QUICKEST} | 0.75 | 2.00 | 1 of 3 workloads |" in lines
    # 3 x the products less the first layer's gradient of its inputs: 64 x (4 x 8 + 6 x 3) x 64
    assert any("have at most 0.2" in line for line in lines)


def test_the_answer_in_short_is_that_of_the_quickest_engines(results: Path) -> None:
    answer = (
        "- **One thread or several?** On Testonium 9000, the quickest engine calibrated was "
        "quicker with 1 thread in 1 of 3 workloads, and not quicker in the others."
    )
    assert answer in page(load_machines(results), "results").splitlines()


def test_one_calibration_alone_says_nothing(results: Path) -> None:
    (results / "testonium" / "calibration-advice-2-threads.json").unlink()
    assert "One thread or several?" not in page(load_machines(results), "results")
