"""The evidence on the judge of ports: a judge that does not look must not get through."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("flax")

from comparisons import ports_judged
from comparisons.evidence.ports import random_ports
from comparisons.evidence.ports.bugs import catalogue
from comparisons.evidence.ports.bugs.bug import KINDS, Bug
from comparisons.evidence.ports.plan import Plan
from comparisons.evidence.ports.score import scored, shortcomings
from comparisons.evidence.ports.trial import Answer, bug_row, correct_row, judge, right_place
from twofold.results import read_json


def _same(pair: Any, steps: int) -> Answer:
    del pair, steps
    return Answer("same", ratio=1.0)


def _differs(pair: Any, steps: int) -> Answer:
    del pair, steps
    return Answer("differs", ratio=1e9, cause="eps")


def _undecided(pair: Any, steps: int) -> Answer:
    del pair, steps
    return Answer("undecided", ratio=100.0)


def test_the_catalogue_has_its_quota_of_every_kind() -> None:
    bugs = catalogue()
    assert len(bugs) >= 120
    counts = Counter(bug.kind for bug in bugs)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 12
    assert {bug.architecture for bug in bugs} == {"gpt", "resnet", "lstm", "vit", "tabular"}
    assert Counter(bug.side for bug in bugs)["original"] >= 12
    names = [f"{bug.architecture}: {bug.name}" for bug in bugs]
    assert len(set(names)) == len(names)
    assert all(bug.why and bug.cause and bug.words and bug.places for bug in bugs)


def test_every_expected_cause_is_named_by_its_own_words() -> None:
    unnamed = [bug.name for bug in catalogue() if not bug.names_cause(bug.cause)]
    assert unnamed == []


def test_a_judge_that_always_says_same_fails(tmp_path: Path) -> None:
    arguments = ["--bugs", "--only", "schedule", "--out", str(tmp_path)]
    assert ports_judged.main(arguments, by=_same) == 1
    score = read_json(tmp_path / "score.json", ports_judged.SCHEMA)
    assert score["bugs"]["count"] == len([b for b in catalogue() if b.kind == "schedule"])
    assert score["bugs"]["detected"] == 0
    assert any("mistakes detected: 0" in sentence for sentence in score["shortcomings"])


def test_a_judge_that_always_says_differs_has_detected_nothing(tmp_path: Path) -> None:
    arguments = ["--bugs", "--only", "decay of 0.9", "--correct", "0:1", "--out", str(tmp_path)]
    assert ports_judged.main(arguments, by=_differs) == 1
    score = read_json(tmp_path / "score.json", ports_judged.SCHEMA)
    assert score["bugs"]["detected"] == score["bugs"]["cause_right"] == 0
    assert score["correct"]["outcomes"] == {"differs": 1}


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    asked: list[object] = []

    def counting(pair: Any, steps: int) -> Answer:
        asked.append(pair)
        return _same(pair, steps)

    for end in ("0:2", "0:3"):
        ports_judged.main(["--correct", end, "--out", str(tmp_path)], by=counting)
    assert len(asked) == 3


def _rows(outcome: str = "same") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    bug = {
        "kind": "loss",
        "ratio": 1e6,
        "control": "same",
        "control_ratio": 2.0,
        "detected": True,
        "place_right": True,
        "cause_right": True,
    }
    correct = [{"outcome": "same", "ratio": 3.0}] * 999 + [{"outcome": outcome, "ratio": 4.0}]
    return [bug] * 100, correct


def test_a_perfect_judge_falls_short_of_nothing() -> None:
    bugs, correct = _rows()
    score = scored(bugs, correct)
    assert shortcomings(score) == []
    assert (score["largest_correct"], score["smallest_wrong"]) == (4.0, 1e6)


@pytest.mark.parametrize("outcome", ["undecided", "differs", "refused"])
def test_one_correct_port_that_is_not_called_the_same_is_too_many(outcome: str) -> None:
    assert shortcomings(scored(*_rows(outcome))) != []


def test_undecided_is_no_detection() -> None:
    bug = next(b for b in catalogue() if b.name == "linear for cosine")
    row = bug_row(bug, _undecided)
    assert not row["detected"]


def test_a_setting_that_nobody_reads_is_refused() -> None:
    plan = Plan({"blocks.0.epz": 1.0})
    plan.at("blocks.0").get("eps", 1e-5)
    with pytest.raises(ValueError, match="epz"):
        plan.require_read()


def test_places_are_told_apart() -> None:
    bug = Bug("n", "loss", "gpt", ("loss",), {}, "c", "c", "w")
    assert right_place(bug, {"rung": "loss", "module": "", "port_module": "", "line": ""})
    assert not right_place(
        bug, {"rung": "gradients", "module": "fc", "port_module": "", "line": ""}
    )


def test_a_seed_draws_the_same_port_every_time() -> None:
    assert random_ports.draw(7) == random_ports.draw(7)
    assert len({random_ports.draw(seed).architecture for seed in range(60)}) == 5


@pytest.mark.slow
def test_the_judge_finds_a_mistake_and_passes_a_correct_port() -> None:
    bug = next(b for b in catalogue() if b.name == "sum for mean" and b.architecture == "gpt")
    assert bug_row(bug, judge)["detected"]
    assert correct_row(random_ports.draw(0), judge)["outcome"] == "same"
