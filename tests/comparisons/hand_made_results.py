"""Small hand-made results: all verdicts, all statuses, figures that can be checked by head."""

from typing import Any

ENVIRONMENT = {
    "processor": "Testonium 9000",
    "cores_total": 4,
    "cores_usable": 2,
    "threads": 2,
    "memory_bytes": 8 * 2**30,
    "system": "Linux 6.1",
    "python": "CPython 3.11.7",
    "versions": {"torch": "2.13.0", "jax": "0.10.2", "flax": None},
    "load_average": [0.25, 0.3, 0.4],
    "time_utc": "2026-01-31T12:00:00+00:00",
}
EXPLANATION = {
    "cause": "The bias correction is evaluated in float32.",
    "source": "optax/tree_utils/_tree_math.py",
    "size": "6.6e-06 of the first update",
    "consequence": "Harmless after some hundred steps.",
    "ratio_without": 5.5,
}


def rung(name: str, engine: str, verdict: str, ratio: float | None, **more: Any) -> dict[str, Any]:
    entry = {
        "rung": name,
        "engine": engine,
        "precision": "float32",
        "verdict": verdict,
        "worst_ratio": ratio,
        "worst": None,
        "note": "",
        "explanation": None,
        "diagnosis": [],
    }
    return entry | more


def parity_result(name: str, *rungs: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": "twofold.parity/1",
        "experiment": {"name": name, "seed": 0},
        "environment": ENVIRONMENT,
        "passed": all(entry["verdict"] in ("certified", "explained") for entry in rungs),
        "rungs": list(rungs),
    }


def measured(engine: str, cold: float, step: float, low: float, high: float) -> dict[str, Any]:
    interval = {"median": step, "low": low, "high": high}
    return {
        "engine": engine,
        "status": "measured",
        "reason": None,
        "cold_start_s": cold,
        "step_s": interval,
        "samples_s": [low, step, high],
    }


def unmeasured(engine: str, status: str, reason: str) -> dict[str, Any]:
    blank = {"cold_start_s": None, "step_s": None, "samples_s": []}
    return {"engine": engine, "status": status, "reason": reason} | blank


def ratio(engine: str, median: float, low: float, high: float, outcome: str) -> dict[str, Any]:
    values = {"median": median, "low": low, "high": high, "outcome": outcome}
    return {"engine": engine, "reference": "torch:eager"} | values


def timing_result(
    name: str, engines: list[dict[str, Any]], ratios: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "schema": "twofold.timing/1",
        "experiment": {"name": name, "seed": 0},
        "environment": ENVIRONMENT,
        "unchecked": False,
        "warnings": [],
        "engines": engines,
        "ratios": ratios,
    }


def training_result(name: str, engine: str, value: float | None) -> dict[str, Any]:
    score = {"name": "accuracy", "value": value, "baseline": 0.25, "rows": 200}
    return {
        "schema": "twofold.training/1",
        "experiment": {"name": name, "seed": 3},
        "environment": ENVIRONMENT,
        "engine": engine,
        "outcome": "diverged" if value is None else "finished",
        "steps": 600,
        "epochs": [{"epoch": 1, "steps": 600, "loss": 0.5, "seconds": 1.5}],
        "score": None if value is None else score,
        "training_seconds": 1.5,
        "evaluation_seconds": 0.1,
    }
