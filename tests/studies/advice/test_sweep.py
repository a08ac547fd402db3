"""Sweeps on a machine whose laws are known: the grid, resuming, the charts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import LAWS, LawfulWorker
from timing_fakes import FakeClock

from twofold.errors import BadInput, ResultError
from twofold.results.json_files import read_json
from twofold.spec.experiment import Experiment
from twofold.studies.advice.probing import EngineProcesses
from twofold.studies.sweep import Axes, Place, Sweep, experiment_at, quick_engines, run_sweep
from twofold.studies.sweep_charts import heat_map, scaling_curves, write_charts

ENGINES = ["torch:eager", "flax:jit"]
SPEC = Experiment.load("lesson").with_values(model__in_features=20, model__out_features=3)
HEADER: dict[str, Any] = {
    "experiment": SPEC.model_dump(mode="json"),
    "engines": ENGINES,
    "threads": 1,
    "seconds_a_point": 0.5,
    "unchecked": True,
}
AXES = Axes((8, 32), (16, 64), (1,))


def fleet(clock: FakeClock) -> EngineProcesses:
    return EngineProcesses(lambda engine: LawfulWorker(engine, clock, 0.01), clock)


def swept(path: Path, axes: Axes = AXES) -> list[Place]:
    """Run a sweep to its end; returns the places that were measured now."""
    measured: list[Place] = []
    run_sweep(
        Sweep.at(path, HEADER),
        SPEC,
        axes.places,
        fleet(FakeClock()),
        ENGINES,
        0.5,
        lambda place, _: measured.append(place),
    )
    return measured


def test_the_grid_has_every_combination_the_cheapest_first() -> None:
    places = Axes((64, 16), (32, 128), (1, 2)).places
    assert len(set(places)) == 8
    assert (places[0], places[-1]) == (Place(16, 32, 1), Place(64, 128, 2))
    with pytest.raises(BadInput, match="--width"):
        _ = Axes((8,), (0,), (1,)).places


def test_a_place_becomes_an_experiment() -> None:
    found = experiment_at(SPEC, Place(4096, 32, 3))
    assert found.model.hidden == (32, 32, 32)
    assert found.data.batch_size == 4096
    assert found.data.rows is not None
    assert found.data.rows >= 4 * 4096


def test_a_quick_sweep_takes_the_engines_that_exist() -> None:
    assert quick_engines(["torch:eager", "flax:op-by-op", "flax:jit"]) == ENGINES
    both = quick_engines(["torch:eager", "torch:eager-fused", "torch:compile-step", "flax:scan"])
    assert both == ["torch:eager-fused", "torch:compile-step", "flax:scan"]


def test_ratios_are_those_of_the_laws(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    assert len(swept(path)) == 4
    for point in read_json(path, "twofold.sweep/1")["points"]:
        steps = {entry["engine"]: entry["step_s"]["median"] for entry in point["engines"]}
        assert set(steps) == set(ENGINES) <= set(LAWS)
        ratio = point["ratio"]
        assert (ratio["engine"], ratio["reference"]) == ("flax:jit", "torch:eager")
        assert ratio["median"] == pytest.approx(steps["flax:jit"] / steps["torch:eager"], rel=0.02)
        assert ratio["outcome"] == "faster"


def test_a_sweep_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"

    def interrupt(place: Place, _: Any) -> None:
        if place == AXES.places[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(
            Sweep.at(path, HEADER), SPEC, AXES.places, fleet(FakeClock()), ENGINES, 0.5, interrupt
        )
    assert len(read_json(path, "twofold.sweep/1")["points"]) == 2
    assert swept(path) == AXES.places[2:]
    assert swept(path) == []
    wider = Axes((8, 32), (16, 64, 128), (1,))
    assert {place.width for place in swept(path, wider)} == {128}


def test_points_that_a_busy_machine_spoilt_are_measured_again(tmp_path: Path) -> None:
    path, clock = tmp_path / "sweep.json", FakeClock()
    busy = EngineProcesses(
        lambda engine: LawfulWorker(engine, clock, 0.01), clock, lambda: clock.now / 1e9, 2
    )
    run_sweep(Sweep.at(path, HEADER), SPEC, AXES.places[:1], busy, ENGINES, 0.5)
    (point,) = read_json(path, "twofold.sweep/1")["points"]
    assert point["ratio"]["outcome"] == "could not be measured"
    assert not point["reliable"]
    assert swept(path) == AXES.places
    assert all(point["reliable"] for point in read_json(path, "twofold.sweep/1")["points"])


def test_another_sweep_is_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    swept(path, Axes((8,), (16,), (1,)))
    with pytest.raises(BadInput, match="another threads"):
        Sweep.at(path, {**HEADER, "threads": 2})


def values_of(chart: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that a chart draws, in the chart itself or among its named data sets."""
    data = chart["data"]
    return list(data["values"] if "values" in data else chart["datasets"][data["name"]])


def test_the_charts_say_who_is_ahead(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    path = tmp_path / "sweep.json"
    swept(path)
    stored = read_json(path, "twofold.sweep/1")
    stored["points"][0]["ratio"] = None
    labels = [cell["label"] for cell in values_of(heat_map(stored))]
    assert labels.count("?") == 1
    assert sum(label.startswith("flax:jit\n") for label in labels) == 3
    assert len(values_of(scaling_curves(stored))) == 2 * 4
    written = write_charts(path, tmp_path / "figures")
    assert [each.name for each in written] == ["sweep-heat.svg", "sweep-scaling.svg"]
    assert all(each.read_text().startswith("<svg") for each in written)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("threads", None, "threads: nothing given, but it is needed"),
        ("points", [{"batch": 8}], r"points\[0\].width: nothing given, but it is needed"),
        ("points", "x", "points: 'x' given"),
        ("engines", [7], r"engines\[0\]: 7 given"),
    ],
)
def test_a_damaged_sweep_is_told_with_its_file_and_field(
    tmp_path: Path, field: str, value: object, words: str
) -> None:
    path = tmp_path / "sweep.json"
    swept(path, Axes((8,), (16,), (1,)))
    stored = read_json(path, "twofold.sweep/1")
    del stored[field]
    path.write_text(json.dumps(stored if value is None else {**stored, field: value}))
    for read in (lambda: Sweep.at(path, HEADER), lambda: write_charts(path, tmp_path)):
        with pytest.raises(ResultError, match=f"sweep.json: {words}"):
            read()
