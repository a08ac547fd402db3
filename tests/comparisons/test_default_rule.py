"""What the rule for the default engine costs, from times made up here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twofold_torch.remembered import was_compiled

from comparisons import default_rule, rule_costs
from comparisons.default_rule import caches
from comparisons.narrator import Narrator
from comparisons.rule_costs import Case
from twofold.errors import EngineFailed
from twofold.problem.data import prepare
from twofold.spec.experiment import Experiment


def case(chosen: str, warm: bool = False, **times: float) -> dict[str, Any]:
    backend = chosen.split(":")[0]
    found = Case(backend, 0, 100, warm, chosen, {f"{backend}:{k}": v for k, v in times.items()})
    return {**vars(found), "cost": found.cost}


def test_the_cost_is_the_time_over_the_best_engines() -> None:
    assert case("torch:eager", eager=3.0, fused=2.0)["cost"] == 1.5
    assert case("torch:fused", eager=3.0, fused=2.0)["cost"] == 1.0


def everywhere(*cases: tuple[float, float]) -> list[dict[str, Any]]:
    """Cases of both backends and both states of the caches: seconds chosen, seconds at best."""
    return [
        case(f"{backend}:a", warm, a=chosen, b=best)
        for backend in rule_costs.ENGINES
        for warm in (False, True)
        for chosen, best in cases
    ]


@pytest.mark.parametrize(("bad", "code"), [(0, 0), (1, 0), (2, 1), (10, 1)])
def test_nine_of_ten_are_enough(bad: int, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = everywhere(*[(1.2, 1.0)] * bad, *[(1.1, 1.0)] * (10 - bad))
    assert default_rule.tell({"cases": found}, Narrator()) == code
    told = capsys.readouterr().out
    assert f"within 10 % of the best in {10 - bad} of 10 cases" in told
    assert ("1.20 times torch:b" in told) == bool(bad)


def test_one_backend_that_is_missed_is_a_miss_and_so_is_one_without_cases() -> None:
    good, bad = everywhere((1.0, 1.0)), everywhere((2.0, 1.0))
    flax = [each for each in bad if each["backend"] == "flax"]
    torch = [each for each in good if each["backend"] == "torch"]
    assert default_rule.tell({"cases": good}, Narrator()) == 0
    assert default_rule.tell({"cases": [*torch, *flax]}, Narrator()) == 1
    assert default_rule.tell({"cases": torch}, Narrator()) == 1


def test_the_rule_is_asked_with_the_caches_that_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = prepare(Experiment.load("diabetes"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    with caches(problem, 1, filled=False):
        assert not was_compiled(problem)
    with caches(problem, 1, filled=True):
        assert was_compiled(problem)
    assert default_rule.os.environ["TORCHINDUCTOR_CACHE_DIR"] == "elsewhere"


def timed(**steps: float) -> dict[str, Any]:
    """A stored run of one workload; engines by their names, with `_` for `:` and `-`."""
    names = {name.replace(":", "_").replace("-", "_"): name for name in ALL}
    starts = {"cold_s": 10.0, "warm_s": 1.0}
    return {
        "schema": rule_costs.SCHEMA,
        "environment": {"processor": "any", "threads": 1},
        "seed": 1,
        "workloads": [
            {
                "experiment": Experiment.load("diabetes").model_dump(mode="json"),
                "paces": {names[key]: {**starts, "step_s": step} for key, step in steps.items()},
            }
        ],
        "cases": [],
    }


ALL = [name for engines in rule_costs.ENGINES.values() for name in engines]
EVERY = {name.replace(":", "_").replace("-", "_"): 1e-3 for name in ALL}


def test_each_backend_starts_once_before_anything_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    class Watched:
        def __init__(self, engine: str, _experiment: str, cpus: Sequence[int]) -> None:
            self.name = f"{engine} on {cpus}"

        def open(self) -> None:
            done.append(f"open {self.name}")
            if "torch" in self.name:
                raise EngineFailed("it broke")

        def close(self) -> None:
            done.append(f"close {self.name}")

    monkeypatch.setattr(default_rule, "ProcessWorker", Watched)
    default_rule.read_files(Experiment(), [1])
    torch, flax = "torch:eager on [1]", "flax:jit on [1]"
    assert done == [f"open {torch}", f"close {torch}", f"open {flax}", f"close {flax}"]


def test_the_rule_is_asked_for_every_number_of_steps() -> None:
    found = list(default_rule.cases_of(timed(**{**EVERY, "torch_compile_step": 1e-4})))
    assert len(found) == 2 * 2 * len(default_rule.STEPS)
    torch = [each for each in found if each.backend == "torch"]
    assert {each.chosen for each in torch if not each.warm} >= {"torch:compile-step"}
    assert all(each.chosen == "torch:compile-step" for each in torch if each.warm)
    (long,) = (each for each in torch if each.warm and each.steps == 1_000_000)
    assert long.times_s["torch:compile-step"] == pytest.approx(1.0 + 999_999 * 1e-4)
    assert long.cost == 1.0


def test_a_chosen_engine_without_a_time_is_no_good_case() -> None:
    few = {key: step for key, step in EVERY.items() if key != "flax_scan"}
    with pytest.raises(EngineFailed, match="flax:scan was chosen and was not timed"):
        list(default_rule.cases_of(timed(**few)))


def test_a_stored_run_is_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps(timed(**EVERY)))
    assert default_rule.main(["--again", str(path)]) == 0
    assert (
        "met    torch, empty caches: within 10 % of the best in 5 of 5" in capsys.readouterr().out
    )
    assert len(json.loads(path.read_text())["cases"]) == 20


def test_a_damaged_experiment_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = timed(**EVERY)
    found["workloads"][0]["experiment"]["seed"] = "none"
    path = tmp_path / "found.json"
    path.write_text(json.dumps(found))
    assert default_rule.main(["--again", str(path)]) == 2
    assert "workload 1: seed" in capsys.readouterr().out
