"""PORTS.md: what it says of stored answers; the committed page is of the committed answers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from comparisons.evidence.ports.page import section
from comparisons.evidence.ports.score import MARKS
from comparisons.evidence.ports.stored import Stored, load
from comparisons.ports import page
from comparisons.ports.proofs import PROOFS

WHERE = {
    "processor": "A",
    "versions": {"jax": "0.10"},
    "xla_optimizations": "few",
    "time_utc": "2026-01-02T",
}


def bug(**changed: Any) -> dict[str, Any]:
    row = {
        "name": "eps", "kind": "constants", "architecture": "gpt", "outcome": "differs",
        "ratio": 1e6, "note": "", "control_of": "Setup()", "control": "same",
        "control_ratio": 2.0, "control_note": "", **dict.fromkeys(MARKS, True),
    }  # fmt: skip
    return row | changed


def correct(**changed: Any) -> dict[str, Any]:
    row = {
        "seed": 3, "architecture": "lstm", "meeting": "torch->jax", "optimizer": "adam",
        "outcome": "same", "ratio": 7.5, "note": "", "explained": "",
    }  # fmt: skip
    return row | changed


def text(bugs: list[dict[str, Any]], ports: list[dict[str, Any]]) -> str:
    return "\n".join(section(Stored(bugs, ports, [WHERE])))


def test_shares_are_of_all_mistakes_that_were_asked() -> None:
    bugs = [bug(), bug(name="mask", cause_right=False), bug(name="tie", place_right=False)]
    said = text(bugs, [correct()])
    assert "| mistakes detected | 98% | 3 of 3 (100.0 %) |" in said
    assert "| right place | 90% | 2 of 3 (66.7 %) |" in said
    assert "| right cause | 70% | 2 of 3 (66.7 %) |" in said
    assert "None of the 3 mistakes that were asked was missed." in said


@pytest.mark.parametrize("outcome", ["same", "undecided", "refused"])
def test_every_missed_mistake_is_listed_with_what_was_said(outcome: str) -> None:
    missed = bug(outcome=outcome, note="it | failed", **dict.fromkeys(MARKS, False))
    said = text([missed, bug(name="other")], [])
    assert "Not detected, 1 of 2:" in said
    assert f"- gpt, constants: eps: called {outcome} (it \\| failed)" in said


def test_a_pair_without_its_mistake_that_is_not_the_same_is_told() -> None:
    row = bug(control="differs", control_note="step 1", **dict.fromkeys(MARKS, False))
    said = text([row], [])
    assert "the pair without it is called differs (step 1)" in said
    assert "Of the 1 pairs without a mistake beside the planted ones, 0 were called" in said


def test_what_the_judge_does_not_say_is_told_and_not_right() -> None:
    silent = bug(cause_named=False, cause_right=False, place_named=False, place_right=False)
    said = text([silent, bug(name="other")], [])
    assert "Of the 2 mistakes detected the judge named a place for 1 and a cause for 1." in said
    assert "| right cause | 70% | 1 of 2 (50.0 %) |" in said
    assert "the judge named a place" not in text([bug()], [])


def test_what_was_not_asked_is_missing() -> None:
    said = text([bug()], [correct()])
    assert "planted mistakes 1 have been asked so far." in said
    assert "999 correct ports of the 1,000 are missing" in said


def test_false_verdicts_are_listed_and_the_gap_has_both_ends() -> None:
    wrong = correct(seed=9, outcome="undecided", ratio=100.0, note="gradients")
    ports = [correct(), correct(ratio=30.0, explained="buffers"), wrong]
    said = text([bug(), bug(ratio=9.5e5, name="clip")], ports)
    assert "3 asked: 2 same, 1 undecided" in said
    assert "- seed 9, lstm, torch->jax, adam: undecided: gradients" in said
    assert "1 of those called the same have a difference" in said
    assert "a correct port is 30; the smallest" in said
    assert "9.5e+05 (gpt: clip)" in said


def test_nothing_stored_is_said() -> None:
    assert "Nothing is stored." in text([], [])
    assert "Not asked yet." in page.page([], Stored([], [], []))


def test_the_committed_page_is_what_the_stored_answers_give(committed: Path) -> None:
    results = committed / "comparisons" / "results"
    judged = load(results / "ports-judged")
    assert judged.bugs
    written = page.page(page.load(results / page.NAME), judged)
    assert written == (committed / "comparisons" / page.FILE).read_text(encoding="utf-8")


def test_real_differences_have_proofs(committed: Path) -> None:
    """Whatever differs has one, and no proof stands for a pair that is gone."""
    results = page.load(committed / "comparisons" / "results" / page.NAME)
    rows = {key: row for result in results for key, row in result["rows"].items()}
    differs = {key for key, row in rows.items() if row["outcome"] == "not the same function"}
    assert differs <= set(PROOFS)
    assert set(PROOFS) <= set(rows)


@pytest.mark.parametrize("key", list(PROOFS))
def test_a_proof_shows_what_it_says(key: str) -> None:
    """Each runs by itself, without the judge; what it switches on is switched off again."""
    pytest.importorskip("torch")
    pytest.importorskip("flax")
    if "transformers" in PROOFS[key]:
        pytest.importorskip("transformers")
    import jax

    wide = jax.config.read("jax_enable_x64")
    assert "assert" in PROOFS[key]
    assert "twofold" not in PROOFS[key]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch itself warns of what it means by a mean
            exec(compile(PROOFS[key], key, "exec"), {})
    finally:
        jax.config.update("jax_enable_x64", wide)
