"""The page of step times, from results made up here: each sentence where it would be false."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_default_rule import case, everywhere
from test_workloads import ratio, stored, workload

from comparisons import rule_costs, speed_page, step_parts
from twofold.errors import ResultError

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {"processor": "a | b", "threads": 1}


def part(engine: str, **changed: Any) -> dict[str, Any]:
    known = {"products": ratio(0.5), "floor": ratio(0.25), "step_s": 2e-5, "rate_of_step": 0.4}
    return {"engine": engine, **known, **changed}


def parts(*steps: dict[str, Any]) -> dict[str, Any]:
    models = [{"experiment": {"name": "tiny"}, "steps": list(steps)}]
    return {"schema": step_parts.SCHEMA, "environment": MACHINE, "models": models}


def rule(*cases: dict[str, Any]) -> dict[str, Any]:
    about = {"schema": rule_costs.SCHEMA, "environment": MACHINE, "seed": 1}
    workload = {"experiment": {}, "paces": {}}
    return {**about, "workloads": [workload] * 6, "cases": list(cases)}


def written(folder: Path, **results: dict[str, Any]) -> str:
    for name, found in results.items():
        path = folder / "machine" / f"{name.replace('_', '-')}-1-threads.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found))
    return speed_page.page(speed_page.folders_with_speed(folder))


def test_workloads_are_told_as_a_whole_by_size_and_one_by_one(tmp_path: Path) -> None:
    few = stored(workload(ratio(0.4)), workload(ratio(0.9, low=0.8), 1e9), workload(ratio(None)))
    told = written(tmp_path, workloads=few)
    pair = "PyTorch's best engine, now over before"
    assert f"| {pair} | all | 2 (1 not measured) | 0.60 | " in told
    assert "at most 0.65: met by those measured | 0 |" in told
    assert f"| {pair} | 30 MFLOP and more | 1 | 0.90 |  | 0 |" in told
    assert "- 8 x 20-16-3, sgd: torch:compile-step 10.0 µs, flax:scan 20.0 µs" in told
    assert "a \\| b, 1 thread" in told
    assert "Before: abc. Now: def. Seed 7." in told


def test_a_miss_is_called_so(tmp_path: Path) -> None:
    told = written(tmp_path, workloads=stored(workload(ratio(1.2, low=1.1))))
    assert "| 1.20 | at most 0.65: missed | 1 |" in told


def test_a_part_that_was_not_measured_is_not_made_up(tmp_path: Path) -> None:
    told = written(
        tmp_path,
        step_parts=parts(
            part("flax:scan"),
            part("torch:eager", floor=None),
            part("torch:compile-step", floor=ratio(None)),
            part("flax:jit", step_s=None, rate_of_step=None),
        ),
    )
    assert "| tiny | flax:scan | 20.0 µs | 0.500 | 0.250 | 40.0% |" in told
    assert "| tiny | torch:eager | 20.0 µs | 0.500 |  | 40.0% |" in told
    assert "| tiny | torch:compile-step | 20.0 µs | 0.500 | not measured | 40.0% |" in told
    assert "| tiny | flax:jit | could not be measured | | | |" in told


def test_what_the_rule_costs_is_told_with_its_worst_case(tmp_path: Path) -> None:
    cases = [*everywhere((1.0, 1.0)), case("torch:a", a=3.0, b=2.0)]
    told = written(tmp_path, default_rule=rule(*cases))
    assert (
        "| torch | empty | 2 | 1 | missed | workload 1, 100 steps: torch:a 3.00 s, 1.50 times"
        in told
    )
    assert "| torch | full | 1 | 1 | met |" in told
    assert "6 workloads, seed 1.\n" in told
    assert "`torch:compile-epoch`; `flax:jit`, `flax:scan`. Asked for: 90% of the cases." in told


def test_workloads_that_gave_the_rule_its_constants_are_called_so(tmp_path: Path) -> None:
    seen = rule(*everywhere((1.0, 1.0))) | {"seed": rule_costs.CALIBRATED_SEED}
    told = " ".join(written(tmp_path, default_rule=seen).split())
    assert "6 workloads, seed 3014. PyTorch's rule has its constants from these" in told
    other = written(tmp_path, default_rule=rule(*everywhere((1.0, 1.0))))
    assert "constants" not in other


def test_a_section_without_results_is_left_out(tmp_path: Path) -> None:
    told = written(tmp_path, workloads=stored(workload(ratio(0.5))))
    assert [line for line in told.splitlines() if line.startswith("## ")] == ["## Random workloads"]


def test_the_page_needs_no_framework() -> None:
    code = "import sys, comparisons.speed_page\nprint(*{'torch', 'jax', 'flax'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not done.stdout.split()


@pytest.mark.parametrize(
    ("name", "found", "field"),
    [
        ("workloads", stored(workload(ratio(-1.0))), "torch"),
        ("step_parts", parts({"engine": "flax:scan"}), "products"),
        ("default_rule", rule({"backend": "torch"}), "workload"),
    ],
)
def test_a_damaged_result_is_refused_by_name(
    name: str, found: dict[str, Any], field: str, tmp_path: Path
) -> None:
    with pytest.raises(ResultError, match=field):
        written(tmp_path, **{name: found})


def test_machines_without_such_results_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "machine").mkdir()
    (tmp_path / "file").write_text("")
    assert speed_page.folders_with_speed(tmp_path) == []
