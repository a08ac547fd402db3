"""The figures of how steady an engine is, on blocks made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comparisons import steadiness


def blocks(*steps_us: float, seconds: float = 0.25) -> list[tuple[float, float]]:
    return [(seconds, step * 1e-6) for step in steps_us]


def test_an_engine_that_stays_at_two_speeds_is_seen() -> None:
    """Twice two seconds at 100 us and two seconds at 150: three changes in eight seconds."""
    two_speeds = blocks(*([100.0] * 8 + [150.0] * 8) * 2)
    found = steadiness.figures(two_speeds)
    assert found["median_s"] == pytest.approx(125e-6)
    assert found["fast_s"] == pytest.approx(100e-6)
    assert found["slow"] == 0.5
    assert found["stay_s"] == pytest.approx(2.0)
    assert found["stretches"]["1"] == pytest.approx(0.5)
    assert found["stretches"]["5"] == 0.0  # one stretch alone has nothing to differ from


def test_a_steady_engine_is_steady() -> None:
    found = steadiness.figures(blocks(*[100.0, 101.0] * 40))
    assert found["slow"] == 0.0
    assert found["stay_s"] == pytest.approx(20.0)
    assert found["stretches"] == {"1": pytest.approx(0.0), "5": pytest.approx(0.0)}


def test_fast_changes_do_not_show_in_long_stretches() -> None:
    """Every fourth block slow: the median of a second is that of the fast ones."""
    found = steadiness.figures(blocks(*[100.0, 100.0, 100.0, 150.0] * 20))
    assert found["slow"] == 0.25
    assert found["stay_s"] == pytest.approx(20.0 / 40)
    assert found["stretches"]["1"] == 0.0


def test_a_row_names_the_engine_and_its_figures() -> None:
    head, row = steadiness.table({"flax:jit": steadiness.figures(blocks(*[100.0, 150.0] * 20))})
    assert row.split()[:3] == ["flax:jit", "125", "µs"]
    assert "50%" in row
    assert len(head) <= 120
    assert len(row) <= 120


def test_too_few_seconds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        steadiness.main(["--seconds", "1"])
    assert "1.0 given; allowed is 5 or more" in capsys.readouterr().err
    assert steadiness.main(["--engines", "torch:nosuch"]) == 2


@pytest.mark.slow
def test_real_blocks_are_stored(tmp_path: Path) -> None:
    options = ["--engines", "torch:eager", "--threads", "1", "--seconds", "5"]
    assert steadiness.main([*options, "--out", str(tmp_path)]) == 0
    stored = json.loads((tmp_path / "steadiness-1-threads.json").read_text())
    own = stored["engines"]["torch:eager"]
    assert stored["environment"]["threads"] == 1
    assert 0 < own["fast_s"] <= own["median_s"] < 0.1
    assert sum(seconds for seconds, _ in own["blocks_s"]) > 2.0
