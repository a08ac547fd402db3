"""PROCESSES.md is made of the stored results alone, and says what does not hold."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from comparisons.evidence.processes.page import page
from comparisons.many_processes import FILE, SCHEMA, main
from twofold.results.json_files import read_json

ROOT = Path(__file__).parents[2]
STORED = ROOT / "comparisons" / "results" / "amd-epyc" / FILE


@pytest.fixture
def stored() -> dict[str, Any]:
    return read_json(STORED, SCHEMA)


def test_the_committed_page_is_that_of_the_stored_results(stored: dict[str, Any]) -> None:
    committed = (ROOT / "comparisons" / "PROCESSES.md").read_text(encoding="utf-8")
    assert page(stored) == committed


def test_all_that_is_stored_holds(stored: dict[str, Any]) -> None:
    assert all(each["holds"] for each in (*stored["ladders"], *stored["kills"]))
    sizes = {(each["engine"], each["processes"]) for each in stored["ladders"]}
    assert {("torch:ddp", n) for n in (1, 2, 3, 4)} <= sizes
    assert {("flax:sharded", n) for n in (1, 2, 4)} <= sizes
    assert {("flax:sharded-weights", n) for n in (1, 2, 4)} <= sizes


def test_what_does_not_hold_is_said(stored: dict[str, Any]) -> None:
    broken = copy.deepcopy(stored)
    broken["ladders"][0]["verdicts"] = {"certified": 20, "diverges": 8}
    broken["kills"][0]["same_bits"] = False
    rows = page(broken).splitlines()
    assert any("| 20 | 0 | 8 diverges |" in row for row in rows)
    assert sum(row.endswith("| yes | no |") for row in rows) == 1


def test_an_unknown_engine_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--engines", "flax:nothing"]) == 2
    assert "--engines: 'flax:nothing' given; allowed are torch:ddp" in capsys.readouterr().err


def test_an_unknown_option_ends_with_code_2() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--nothing"])
    assert ended.value.code == 2
