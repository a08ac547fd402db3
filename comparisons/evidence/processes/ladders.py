"""The ladder in a world of several processes, on experiments that do not divide among them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from twofold import Experiment
from twofold.backends.installed import backend, backend_of
from twofold.engines.launch import launch
from twofold.engines.registry import find_engine
from twofold.files import write_text
from twofold.results.json_files import read_json
from twofold.temporary import temporary_folder

STEPS: Final = 20
PRECISIONS: Final = "float32,float64"
CASES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "diabetes": ("diabetes", {}),
    "digits": ("digits", {}),
    "class weights, embedding and a clipped norm": (
        "tabular-categories",
        {"loss__class_weights": (0.5, 1.0, 3.0), "optimizer__clip_norm": 0.2},
    ),
    "batches of three rows": ("diabetes", {"data__batch_size": 3, "model__dropout": 0.3}),
    "batch norm": ("tabular-resnet", {}),
}
"""Most of their batches do not divide by three or four; three rows leave a fourth process none."""


def climb(engine: str, size: int, steps: int) -> list[dict[str, Any]]:
    """Every case that an engine can express, in a world of `size` processes."""
    cases = {
        name: experiment
        for name, (spec, values) in CASES.items()
        if _expressible(engine, experiment := Experiment.load(spec).with_values(**values))
    }
    with temporary_folder() as within:
        specs = [_written(within / f"{n}.toml", each) for n, each in enumerate(cases.values())]
        report = within / "report.json"
        arguments = ["parity", *specs, "--engines", engine, "--precision", PRECISIONS]
        arguments += ["--steps", str(steps), "--json", str(report), "--processes", str(size)]
        launch(arguments, size)
        reports = read_json(report, "twofold.parity-list/1")["reports"]
    return [_judged(name, engine, size, each) for name, each in zip(cases, reports, strict=True)]


def _expressible(engine: str, experiment: Experiment) -> bool:
    refused = find_engine(engine)[1].refusals(experiment)
    return not (refused or backend(backend_of(engine)).refusals(experiment))


def _written(path: Path, experiment: Experiment) -> str:
    write_text(path, experiment.to_toml())
    return str(path)


def _judged(name: str, engine: str, size: int, report: dict[str, Any]) -> dict[str, Any]:
    rungs = report["rungs"]
    worst = max(rungs, key=lambda rung: rung["worst_ratio"] or 0.0)
    verdicts = Counter(rung["verdict"] for rung in rungs)
    print(f"{engine}, {size} processes, {name}: {dict(verdicts)}")
    return {
        "case": name,
        "engine": engine,
        "processes": size,
        "verdicts": dict(verdicts),
        "worst": {key: worst[key] for key in ("rung", "precision", "worst_ratio")},
        "holds": set(verdicts) <= {"certified", "explained"},
    }
