"""Means over workloads, from ratios made up here; and what an earlier commit is given to read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from comparisons import random_workloads, workload_ratios, workloads
from comparisons.workload_ratios import Mean, lines_of, mean_of, summary_of
from twofold.errors import BadInput, ResultError
from twofold.spec.experiment import Experiment


def ratio(median: float | None, low: float | None = None) -> dict[str, Any]:
    return {"median": median, "low": median if low is None else low, "high": median}


def workload(torch: dict[str, Any] | None, flops: float = 1e6, **others: Any) -> dict[str, Any]:
    known = {"torch": torch, "flax": ratio(1.0), "frameworks": ratio(1.5)}
    shape = {"rows": 8, "widths": [20, 16, 3], "dropout": False, "optimizer": "sgd"}
    steps = {"torch:compile-step": 1e-5, "flax:scan": 2e-5}
    about = {**shape, "flops": flops, "steps_s": steps, "frameworks_before": ratio(1.5)}
    return {**about, **known, **others}


def stored(*found: dict[str, Any], threads: int = 1) -> dict[str, Any]:
    return {
        "schema": workload_ratios.SCHEMA,
        "environment": {"processor": "a | b", "threads": threads},
        "before": "abc",
        "now": "def",
        "seed": 7,
        "workloads": list(found),
    }


def test_the_mean_is_geometric() -> None:
    few = [workload(ratio(0.2)), workload(ratio(0.8))]
    found = mean_of("torch", "all", few, at_most=0.65)
    assert found.mean == pytest.approx(0.4)  # the root of 0.2 times 0.8
    assert found.met
    assert (found.low, found.high) == (None, None)  # two do not show how far they scatter
    assert workload_ratios.figures(found) == "0.40"


def test_the_interval_says_how_far_the_mean_depends_on_the_workloads() -> None:
    """Its width beside that of the normal distribution of a mean of logarithms."""
    many = 50
    ratios = [workload(ratio(0.5 if n % 2 else 2.0)) for n in range(many)]
    found = mean_of("torch", "all", ratios)
    assert found.mean == pytest.approx(1.0)
    assert found.low is not None
    assert found.high is not None
    error = math.log(2.0) / math.sqrt(many)  # of the mean: each logarithm is log 2 from it
    assert math.log(found.high) == pytest.approx(1.96 * error, rel=0.1)
    assert math.log(found.low) == pytest.approx(-1.96 * error, rel=0.1)
    assert workload_ratios.figures(found) == f"1.00 ({found.low:.2f} to {found.high:.2f})"


@pytest.mark.parametrize(
    ("ratios", "met"),
    [
        ([ratio(0.65)], True),
        ([ratio(0.66)], False),
        ([ratio(0.1), ratio(1.1, low=1.04)], False),  # one workload is slower than before
        ([ratio(0.1), ratio(1.1, low=1.03)], True),
    ],
)
def test_a_limit_is_for_all_together_and_for_each(ratios: list[Any], met: bool) -> None:
    found = summary_of(stored(*(workload(each) for each in ratios)))
    assert found.all_sizes[0].met is met


def test_a_workload_without_a_ratio_is_counted_and_meets_nothing() -> None:
    found = summary_of(stored(workload(ratio(0.5)), workload(ratio(None)), workload(None)))
    assert (found.all_sizes[0].count, found.all_sizes[0].missing) == (1, 2)
    flax = Mean("flax", "all", 1, 0, 0.9, 0.9, 0.9, 0, 0.95)
    assert not workload_ratios.Summary(1, (found.all_sizes[0], flax), ()).met
    assert "2 workloads not measured" in next(line for line in lines_of(found) if "all" in line)
    nothing = summary_of(stored(workload(None)))
    assert not nothing.all_sizes[0].met
    assert "could not be measured" in workload_ratios.line_of(nothing.all_sizes[0])


def test_every_workload_lies_in_one_size() -> None:
    sizes = [1.0, 3e5, 2.9e6, 3e6, 3e7, 1e12]
    bands = list(workload_ratios.banded([workload(ratio(1.0), flops=size) for size in sizes]))
    assert [[each["flops"] for each in chosen] for _, chosen in bands] == [
        [1.0],
        [3e5, 2.9e6],
        [3e6],
        [3e7, 1e12],
    ]
    assert [name for name, _ in bands] == [
        "under 0.3 MFLOP",
        "0.3 to 3 MFLOP",
        "3 to 30 MFLOP",
        "30 MFLOP and more",
    ]


def test_other_numbers_of_threads_have_no_limit_and_nothing_stored_is_refused() -> None:
    assert all(
        mean.at_most is None for mean in summary_of(stored(workload(None), threads=4)).all_sizes
    )
    with pytest.raises(ResultError, match="none stored"):
        summary_of(stored())


def test_an_earlier_commit_is_told_no_option_that_it_lacks() -> None:
    (experiment,) = random_workloads.drawn(1, 3)
    text = workloads.without_defaults(experiment)
    assert Experiment.model_validate_json(text) == experiment
    assert "memory_map" not in json.loads(text)["data"]
    with pytest.raises(BadInput, match=r"data\.validation_fraction: in use"):
        workloads.without_defaults(experiment.with_values(data__validation_fraction=0.1))


def test_workloads_are_drawn_from_their_seed_alone() -> None:
    assert random_workloads.drawn(3, 5) == random_workloads.drawn(3, 5)
    assert random_workloads.drawn(3, 5) != random_workloads.drawn(3, 6)
    assert random_workloads.drawn(3, 5)[:2] == random_workloads.drawn(2, 5)


def test_a_folder_that_is_no_checkout_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src").mkdir()
    assert workloads.main(["--before", str(tmp_path)]) == 2
    assert "has no folder 'backends'" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--before", ".", "--workloads", "0"]])
def test_bad_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        workloads.main(arguments)
    assert ended.value.code == 2


def test_a_stored_result_is_told_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    whole = stored(workload(ratio(0.5), flax=ratio(0.9)))
    path.write_text(json.dumps(whole))
    assert workloads.main(["--again", str(path)]) == 0
    assert "0.50 of  1, at most 0.65: met" in capsys.readouterr().out
