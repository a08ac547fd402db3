"""The page of all machines: what holds, what flips, and what only one of them has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hand_made_results import ENVIRONMENT, measured, parity_result, rung, timing_result, unmeasured

from comparisons.folders import STORED
from comparisons.machines.__main__ import PAGE, main, write_page
from comparisons.machines.orders import altered_fields
from comparisons.machines.page import page
from comparisons.machines.stored import load_machines
from twofold.errors import BadInput, ResultError
from twofold.results.json_files import read_json, write_json

ROOT = Path(__file__).parents[2]
INTEL = "Intel(R) Xeon(R) Processor"
ENGINES = (("torch:eager", 1e-3), ("torch:compile", 5e-4), ("flax:jit", 2e-4))
Change = Callable[[dict[str, Any]], None]


def pair(engine: str, reference: str, median: float, outcome: str) -> dict[str, Any]:
    values = {"median": median, "low": median, "high": median, "outcome": outcome}
    return {"engine": engine, "reference": reference, **values}


def digits() -> dict[str, Any]:
    """Three engines, each 1.5 s from nothing to its first step; flax:jit ahead."""
    return timing_result(
        "digits",
        [measured(engine, 1.5, step, step, step) for engine, step in ENGINES],
        [
            pair("torch:compile", "torch:eager", 0.5, "faster"),
            pair("flax:jit", "torch:eager", 0.2, "faster"),
            pair("flax:jit", "torch:compile", 0.4, "faster"),
        ],
    )


def targets(figure: float, outcome: str) -> dict[str, Any]:
    target = {"name": "as fast", "subject": "torch:compile", "reference": "flax:jit"}
    target |= {"at_most": 1.0, "at_least": None, "low": None, "high": None, "reason": ""}
    target |= {"figure": figure, "outcome": outcome}
    return {"schema": "twofold.targets/1", "environment": ENVIRONMENT, "targets": [target]}


def on(processor: str, result: dict[str, Any], **environment: Any) -> dict[str, Any]:
    """The result as another machine would have stored it."""
    return result | {"environment": ENVIRONMENT | {"processor": processor} | environment}


def store(results: Path, folder: str, name: str, result: dict[str, Any]) -> None:
    write_json(results / folder / f"{name}.json", result)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two machines that have measured the same."""
    folder = tmp_path / "results"
    store(folder, "testonium", "timing-digits", digits())
    store(folder, "intel", "timing-digits", on(INTEL, digits()))
    return folder


def change(results: Path, how: Change) -> None:
    """Alter what the second machine has stored."""
    path = results / "intel" / "timing-digits.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    how(stored)
    write_json(path, stored)


def lines_of(results: Path) -> list[str]:
    path = results.parent / "MACHINES.md"
    write_page(results, path)
    return path.read_text(encoding="utf-8").splitlines()


def test_two_machines_in_the_same_order(results: Path) -> None:
    lines = lines_of(results)
    assert "|  | Intel(R) Xeon(R) Processor (2 threads) | Testonium 9000 (2 threads) |" in lines
    assert "| torch:eager | 1.00 ms (1.00) | 1.00 ms (1.00) |" in lines
    assert "| flax:jit | **200 µs (0.200)** | **200 µs (0.200)** |" in lines
    assert "| digits | flax:jit | 1.50 s (1.00) | 1.50 s (1.00) |" in lines
    assert "The order of the engines that are measured on both is the same (3 pairs)." in lines
    assert (
        "- **Whose step is the shortest?** In digits, of the engines measured (torch:eager, "
        "torch:compile and flax:jit): flax:jit on both."
    ) in lines


def plant_a_flip(stored: dict[str, Any]) -> None:
    stored["ratios"][2] |= {"median": 1.25, "low": 1.2, "high": 1.3, "outcome": "slower"}


def test_a_planted_flip_is_told(results: Path) -> None:
    change(results, plant_a_flip)
    lines = lines_of(results)
    assert "Of 3 pairs of engines that are measured on both, 1 flips:" in lines
    assert (
        "- **flax:jit** against torch:compile: slower on Intel(R) Xeon(R) Processor (2 threads), "
        "1.25 times the step; faster on Testonium 9000 (2 threads), 0.400 times the step"
    ) in lines
    assert "In the same order: 2." in lines
    assert (
        "- **Does the order hold from machine to machine?** Of 3 pairs compared on more than one, "
        "the order is the same in 2; 1 flips. Flips are in digits."
    ) in lines


def test_a_flip_is_found_however_its_pair_is_stored(results: Path) -> None:
    def turn(stored: dict[str, Any]) -> None:
        stored["ratios"][2] = pair("torch:compile", "flax:jit", 0.8, "faster")

    change(results, turn)
    (line,) = [line for line in lines_of(results) if line.startswith("- **flax:jit**")]
    assert "slower on Intel(R) Xeon(R) Processor (2 threads), 1.25 times the step" in line


def test_what_a_machine_cannot_tell_apart_does_not_flip(results: Path) -> None:
    def blur(stored: dict[str, Any]) -> None:
        stored["ratios"][2] |= {"median": 1.01, "outcome": "not distinguishable"}
        stored["engines"][1]["step_s"]["median"] = 1.9e-4  # ahead by its median alone

    change(results, blur)
    lines = lines_of(results)
    assert "Of 3 pairs of engines that are measured on both, none flips." in lines
    assert "Not told apart on at least one: torch:compile and flax:jit." in lines
    assert "| torch:compile | **190 µs (0.500)** | 500 µs (0.500) |" in lines
    assert "| flax:jit | **200 µs (0.200)** | **200 µs (0.200)** |" in lines
    assert not [line for line in lines if "against torch:compile:" in line]


def test_an_engine_of_one_machine_alone_is_shown_and_named(results: Path) -> None:
    def add(stored: dict[str, Any]) -> None:
        stored["engines"].append(measured("flax:scan", 1.0, 1e-4, 1e-4, 1e-4))
        stored["ratios"].append(pair("flax:scan", "torch:eager", 0.1, "faster"))

    change(results, add)
    lines = lines_of(results)
    assert "| flax:scan | **100 µs (0.100)** | not run |" in lines
    assert "| digits | flax:scan | **1.00 s (0.667)** | not run |" in lines
    assert (
        "- In digits, measured on Intel(R) Xeon(R) Processor (2 threads) only: flax:scan." in lines
    )
    assert (
        "Of the engines measured on all machines, the same one starts soonest in 1 of 1 experiment."
    ) in lines  # flax:scan starts sooner, and was measured on one machine only
    assert (
        "- **Whose step is the shortest?** In digits: flax:scan on Intel(R) Xeon(R) Processor "
        "(2 threads), of the engines measured (torch:eager, torch:compile, flax:jit and "
        "flax:scan); flax:jit on Testonium 9000 (2 threads), of the engines measured (torch:eager, "
        "torch:compile and flax:jit)."
    ) in lines


def test_an_engine_that_failed_says_why_and_is_not_compared(results: Path) -> None:
    def fail(stored: dict[str, Any]) -> None:
        stored["engines"][1] = unmeasured("torch:compile", "failed", "no C++ | none")

    change(results, fail)
    lines = lines_of(results)
    reason = "could not be measured (failed: no C++ \\| none)"
    assert f"| torch:compile | {reason} | 500 µs (0.500) |" in lines
    assert f"| digits | torch:compile | {reason} | 1.50 s (1.00) |" in lines
    assert "The order of the engines that are measured on both is the same (1 pair)." in lines


def test_other_experiments_of_the_same_name_are_not_compared(results: Path) -> None:
    def reseed(stored: dict[str, Any]) -> None:
        plant_a_flip(stored)
        stored["experiment"]["seed"] = 1

    change(results, reseed)
    lines = lines_of(results)
    assert "Not compared: the experiments differ (seed)." in lines
    assert not [line for line in lines if line.startswith("- **flax:jit**")]
    found = altered_fields({"data": {"rows": 1}, "new": 2}, {"data": {"rows": 3}, "seed": 0})
    assert list(found) == ["data.rows"]


def test_versions_threads_and_files_that_differ_are_told(results: Path) -> None:
    store(results, "testonium", "timing-lesson", timing_result("lesson", [], []))
    versions = {"torch": "2.12.0", "jax": "0.10.2", "flax": None}
    other = on(INTEL, digits(), versions=versions, threads=4)
    store(results, "intel", "timing-digits", other)
    lines = lines_of(results)
    assert "| machine | architecture | cores used | threads | torch | measured |" in lines
    intel = "[Intel(R) Xeon(R) Processor](results/intel)"
    assert f"| {intel} | – | 2 of 4 | 4 | 2.12.0 | 2026-01-31 |" in lines
    assert "The same on all: Linux 6.1, CPython 3.11.7, jax 0.10.2." in lines
    assert "- Stored for Testonium 9000 only: timing of lesson." in lines
    assert [line for line in lines if "beside the processor: torch (" in line]
    assert [line for line in lines if "number of threads is not the same on all in digits" in line]


def test_targets_that_depend_on_the_machine_are_bold(results: Path) -> None:
    store(results, "testonium", "targets-2-threads", targets(0.9, "met"))
    store(results, "intel", "targets-2-threads", on(INTEL, targets(1.1, "missed")))
    lines = lines_of(results)
    row = "1.10, missed (torch:compile) | 0.900, met (torch:compile)"
    assert f"| **as fast** | at most 1.00 | {row} |" in lines
    assert (
        "- **Are the speed targets met?** Of 1: 1 met on one machine and missed on another."
    ) in lines


def test_targets_that_depend_on_the_threads_are_not_bold(results: Path) -> None:
    store(results, "testonium", "targets-2-threads", targets(0.9, "met"))
    single = on("Testonium 9000", targets(1.1, "missed"), threads=1)
    store(results, "testonium", "targets-1-threads", single)
    lines = lines_of(results)
    row = "1.10, missed (torch:compile) | 0.900, met (torch:compile)"
    assert f"| as fast | at most 1.00 | {row} |" in lines


def test_parity_and_calibration_are_told_of_each_machine(results: Path) -> None:
    held = rung("forward", "torch:eager", "certified", 0.5)
    store(results, "intel", "parity-digits", on(INTEL, parity_result("digits", held)))
    level = {"slow_down": 0.05, "judged": 20, "slower": 11, "faster": 1, "target": 0.8}
    trial = {"engine": "flax:jit", "slow_down": 0.05}
    outcomes = ["slower"] * 11 + ["faster", "could not be measured"] + ["not distinguishable"] * 8
    calibration = {"schema": "twofold.calibration-of-timing/1", "environment": ENVIRONMENT}
    calibration["levels"] = [level | {"met": False}]
    calibration["trials"] = [trial | {"outcome": outcome} for outcome in outcomes]
    calibration["trials"].append({"engine": "flax:jit", "slow_down": 0.0, "outcome": "slower"})
    store(results, "testonium", "calibration-timing-2-threads", calibration)
    lines = lines_of(results)
    assert (
        "- **Are both computing the same thing?** On Intel(R) Xeon(R) Processor: yes: all 1 rungs "
        "hold, 1 certified and 0 explained. On Testonium 9000: not known: there are no parity "
        "results."
    ) in lines
    assert "| slowed down by | target | Testonium 9000 (2 threads) |" in lines
    assert "| 5 % | at least 80 % | 11 of 20, missed (flax:jit 11 of 20) |" in lines
    gap = "- Stored for Testonium 9000 only: the calibration of the timing with 2 threads."
    assert gap in lines


def test_how_steady_an_engine_is_is_told(results: Path) -> None:
    own = {"median_s": 150e-6, "fast_s": 100e-6, "slow": 0.5, "stay_s": 2.0}
    own["stretches"] = {"1": 0.5, "5": 0.04}
    steady = {"schema": "twofold.steadiness/1", "environment": ENVIRONMENT}
    store(results, "testonium", "steadiness-2-threads", steady | {"engines": {"flax:jit": own}})
    row = "flax:jit | 150 µs | 100 µs | 50% | 2.00 s | 50% | 4% |"
    assert f"| Testonium 9000 (2 threads) | {row}" in lines_of(results)


def test_the_score_of_the_advice_is_told_of_each_way(results: Path) -> None:
    model = {"name": "cost model", "median_error": 0.094, "right": 27, "clear": 30}
    simple = {"name": "always the overall best", "median_error": None, "right": 0, "clear": 0}
    redrawn = {"name": "cost model", "median_error": 0.14}
    score = {
        "schema": "twofold.advice-score/1",
        "environment": ENVIRONMENT,
        "targets": {"median_error": 0.2, "share_right": 0.9},
        "way": "always the overall best",
        "scores": [
            model | {"share_right": 0.9, "lost": 0.0204},
            simple | {"share_right": None, "lost": 0.5},
        ],
        "resampled": {"scores": [redrawn | {"share_right": 0.986, "lost": 0.0061}]},
    }
    store(results, "testonium", "advice-score-2-threads", score)
    lines = lines_of(results)
    owner = "| Testonium 9000 (2 threads) |"
    assert f"{owner} cost model |  | 9%, met | 27 of 30, met | 2.0% | 14%, 98.6%, 0.6% |" in lines
    assert f"{owner} always the overall best | yes | - | 0 of 0, missed | 50.0% | - |" in lines
    gap = "- Stored for Testonium 9000 only: the score of the advice with 2 threads."
    assert gap in lines


def test_quick_runs_and_other_folders_are_no_machines(results: Path) -> None:
    for folder in ("intel-quick", "false-alarms", "mutants", "empty"):
        (results / folder).mkdir()
    for folder in ("intel-quick", "false-alarms", "mutants"):
        (results / folder / "timing-digits.json").write_text("no JSON")
    assert [machine.folder for machine in load_machines(results)] == ["intel", "testonium"]


def test_machines_of_the_same_processor_are_told_apart(results: Path) -> None:
    store(results, "intel", "timing-digits", digits())
    names = [machine.name for machine in load_machines(results)]
    assert names == ["Testonium 9000 (intel)", "Testonium 9000 (testonium)"]


def test_one_machine_alone_makes_a_page(results: Path) -> None:
    (results / "intel" / "timing-digits.json").unlink()
    lines = lines_of(results)
    assert "|  | Testonium 9000 (2 threads) |" in lines
    assert (
        "- **Does the order hold from machine to machine?** Not known: only one machine is stored."
    ) in lines
    assert "- Only one machine is stored, so nothing is compared yet." in lines


def test_unchecked_and_interrupted_timing_is_told(results: Path) -> None:
    change(results, lambda stored: stored.update(unchecked=True, interrupted=True))
    lines = lines_of(results)
    where = "On Intel(R) Xeon(R) Processor (2 threads)"
    assert f"{where}, timed without a parity check." in lines
    assert f"{where}, interrupted: the figures rest on fewer rounds." in lines


def test_another_schema_is_refused_and_nothing_is_written(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = results / "intel" / "timing-digits.json"
    path.write_text('{"schema": "twofold.timing/99"}', encoding="utf-8")
    with pytest.raises(ResultError, match=r"twofold\.timing/99"):
        load_machines(results)
    target = results.parent / "MACHINES.md"
    assert main(["--results", str(results), "--page", str(target)]) == 2
    assert "error: " in capsys.readouterr().out
    assert not target.exists()


def test_nothing_stored_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no results of any machine"):
        write_page(tmp_path, tmp_path / "MACHINES.md")
    with pytest.raises(BadInput, match="the folder does not exist"):
        write_page(tmp_path, tmp_path / "none" / "MACHINES.md")


# The page that is committed


def test_the_committed_page_is_what_the_stored_results_give(committed: Path) -> None:
    written = (committed / PAGE).read_text(encoding="utf-8")
    assert page(load_machines(committed / STORED), "results") == written


def every_pair_is_told_apart(result: dict[str, Any]) -> bool:
    return all(item["outcome"] in ("faster", "slower") for item in result["ratios"])


def test_a_copy_of_a_stored_machine_keeps_every_order(tmp_path: Path) -> None:
    """Of every machine; whether all its pairs are told apart is up to how steady it was."""
    clear_ones = others = 0
    for number, machine in enumerate(load_machines(ROOT / STORED)):
        results = tmp_path / str(number)
        # Timing and targets.
        for path in (ROOT / STORED / machine.folder).glob("t[ia][mr]*-*.json"):
            stored = json.loads(path.read_text(encoding="utf-8"))
            write_json(results / "first" / path.name, stored)
            copy = stored | {"environment": stored["environment"] | {"processor": "Another"}}
            write_json(results / "copy" / path.name, copy)
        text = "\n".join(lines_of(results))
        clear = [one for one in machine.evidence.timing if every_pair_is_told_apart(one)]
        same = text.count("The order of the engines that are measured on both is the same")
        assert same == len(clear)
        some = text.count("of engines that are measured on both, none flips.")
        assert some == len(machine.evidence.timing) - len(clear)
        assert ("; none flips" in text) == bool(some)
        clear_ones, others = clear_ones + same, others + some
    assert clear_ones
    assert others


def test_every_stored_step_time_is_on_the_page(committed: Path) -> None:
    written = (committed / PAGE).read_text(encoding="utf-8")
    for machine in load_machines(committed / STORED):
        for path in (committed / STORED / machine.folder).glob("timing-*.json"):
            result = read_json(path, "twofold.timing/1")
            assert f"### {result['experiment']['name']}\n" in written
            assert all(f"\n| {item['engine']} | " in written for item in result["engines"])
