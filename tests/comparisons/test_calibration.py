"""The calibration script: what it counts, and what it refuses."""

from __future__ import annotations

import pytest

from comparisons.calibration import Trial, level, parse


def trial(slow_down: float, outcome: str) -> Trial:
    return Trial("torch:eager", slow_down, outcome, 1.0, 0.9, 1.1, 20, "")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--processes", "0"), ("--runs", "0"), ("--slowed-runs", "-1"), ("--seconds", "0")],
)
def test_numbers_that_make_no_sense_are_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        parse([option, value])
    assert refused.value.code == 2
    assert f"{option}: " in capsys.readouterr().err


def test_runs_that_a_busy_machine_spoilt_are_counted_apart() -> None:
    outcomes = ["slower"] * 8 + ["not distinguishable"] * 2 + ["could not be measured"] * 5
    found = level([trial(0.05, outcome) for outcome in outcomes], 0.05)
    assert (found["runs"], found["judged"], found["slower"], found["met"]) == (15, 10, 8, True)


def test_an_engine_against_itself_may_not_be_called_different_either_way() -> None:
    outcomes = ["slower", "faster"] + ["not distinguishable"] * 18
    found = level([trial(0.0, outcome) for outcome in outcomes], 0.0)
    assert found["share"] == pytest.approx(0.1)
    assert not found["met"]


def test_a_slow_down_called_faster_is_never_met() -> None:
    found = level([trial(0.1, outcome) for outcome in ["slower"] * 99 + ["faster"]], 0.1)
    assert not found["met"]
