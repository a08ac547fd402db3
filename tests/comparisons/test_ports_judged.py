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
from comparisons.evidence.ports.bugs.causes import ALIKE, WORDS, names
from comparisons.evidence.ports.plan import Plan
from comparisons.evidence.ports.score import MARKS, scored, shortcomings
from comparisons.evidence.ports.setup import Setup, require_read
from comparisons.evidence.ports.stored import SCHEMA
from comparisons.evidence.ports.trial import Answer, bug_row, correct_row, judge, marks, right_place
from twofold.results.json_files import read_json


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
    assert all(bug.why and bug.cause and bug.places for bug in bugs)


def test_every_cause_is_named_by_its_own_words_and_no_other_outside_its_family() -> None:
    causes = dict.fromkeys(bug.cause for bug in catalogue())
    assert set(causes) == set(WORDS)
    assert [cause for cause in causes if not names(cause, cause)] == []
    wrong = [
        (cause, other)
        for cause in causes
        for other in causes
        if cause != other and names(cause, other)
        if not any({cause, other} <= family for family in ALIKE)
    ]
    assert wrong == []


@pytest.mark.parametrize("said", ["", "differs", "a weight", "order", "the scale", "norm", "step"])
def test_a_vague_answer_names_no_cause(said: str) -> None:
    assert [cause for cause in WORDS if names(cause, said)] == []


def test_words_are_looked_for_where_words_begin() -> None:
    assert names("eps of a norm", "Flax's epsilon is 1e-6")
    assert not names("eps of a norm", "the steps differ")
    assert not names("alpha of ELU", "gelu is approximated")


def test_a_judge_that_always_says_same_fails(tmp_path: Path) -> None:
    arguments = ["--bugs", "--only", "schedule", "--out", str(tmp_path)]
    assert ports_judged.main(arguments, by=_same) == 1
    score = read_json(tmp_path / "score.json", SCHEMA)
    assert score["bugs"]["count"] == len([b for b in catalogue() if b.kind == "schedule"])
    assert score["bugs"]["detected"] == 0
    assert any("mistakes detected: 0" in sentence for sentence in score["shortcomings"])


def test_a_judge_that_always_says_differs_has_detected_nothing(tmp_path: Path) -> None:
    arguments = ["--bugs", "--only", "decay of 0.9", "--correct", "0:1", "--out", str(tmp_path)]
    assert ports_judged.main(arguments, by=_differs) == 1
    score = read_json(tmp_path / "score.json", SCHEMA)
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
        "outcome": "differs",
        "ratio": 1e6,
        "control_of": "Setup()",
        "control": "same",
        "control_ratio": 2.0,
        **dict.fromkeys(MARKS, True),
    }
    right = {"outcome": "same", "ratio": 3.0, "explained": "", "meeting": "torch->jax"}
    return [bug] * 100, [right] * 999 + [{**right, "outcome": outcome, "ratio": 4.0}]


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
    assert not any(marks(bug, bug_row(bug, _undecided)).values())


def test_a_setting_that_nobody_reads_is_refused() -> None:
    setup = Setup("tabular", common={"norm.epz": 1.0}, port={"slope": 0.1})
    plans = [Plan(setup.common), Plan(setup.port)]
    plans[0].get("norm.eps", 1e-5)
    with pytest.raises(ValueError, match=r"norm\.epz, slope given; no module asks"):
        require_read(setup, plans)
    plans[1].get("slope", 0.01)
    plans[0].at("norm").get("epz", 0.0)
    require_read(setup, plans)


def test_places_are_told_apart() -> None:
    nowhere = {"module": "", "port_module": "", "line": ""}
    of_loss = Bug("n", "loss", "gpt", ("loss",), {}, "eps", "w")
    assert right_place(of_loss, {**nowhere, "rung": "loss"})
    assert not right_place(of_loss, {**nowhere, "rung": "gradients", "module": "fc"})
    of_steps = Bug("n", "optimizer", "gpt", ("steps",), {}, "eps", "w")
    assert right_place(of_steps, {**nowhere, "rung": "step 2", "module": "fc"})
    of_norm = Bug("n", "constants", "gpt", ("ln_f",), {}, "eps", "w")
    assert right_place(of_norm, {**nowhere, "rung": "forward, evaluation", "module": "ln_f"})
    assert not right_place(of_norm, {**nowhere, "rung": "forward, evaluation", "module": "head"})


def test_lines_of_the_model_itself_have_to_be_named() -> None:
    """An answer without a line is no place, nor is a line of another file."""
    bug = Bug("n", "data", "vit", ("inputs",), {}, "eps", "w")
    row = {"rung": "forward, evaluation", "module": "", "port_module": "", "line": ""}
    assert not right_place(bug, row)
    assert not right_place(bug, {**row, "line": "twofold/port/pair.py:3"})
    assert not right_place(bug, {**row, "line": "ports/vit.py:12", "module": "block0"})
    assert right_place(bug, {**row, "line": "ports/vit.py:12"})
    assert right_place(bug, {**row, "line": "ports/pictures.py:40 / ports/vit.py:9"})


def test_a_seed_draws_the_same_port_every_time() -> None:
    assert random_ports.draw(7) == random_ports.draw(7)
    assert len({random_ports.draw(seed).architecture for seed in range(60)}) == 5


SMALL = (
    ("tabular", "leaky slope in a function"),
    ("tabular", "sigmoid before a loss on logits"),
    ("tabular", "cosine starts one step late"),
    ("tabular", "norm clipped by Optax"),
    ("tabular", "columns reversed"),
    ("gpt", "output matrix not tied"),
)
"""A few mistakes, one of them the smallest that is known; all of them take minutes."""


@pytest.mark.parametrize(("architecture", "name"), SMALL)
def test_the_judge_finds_a_mistake(architecture: str, name: str, controls: dict[str, Any]) -> None:
    (bug,) = (b for b in catalogue() if (b.architecture, b.name) == (architecture, name))
    row = bug_row(bug, judge, controls)
    assert row["control"] == "same", row["control_note"]
    assert row["outcome"] == "differs", row["note"]


@pytest.mark.parametrize("seed", range(3))
def test_the_judge_passes_a_correct_port(seed: int) -> None:
    row = correct_row(random_ports.draw(seed), judge)
    assert row["outcome"] == "same", row


@pytest.fixture(scope="module")
def controls() -> dict[str, Any]:
    """Answers for pairs without a mistake, which mistakes share."""
    return {}
