"""Fixtures: evidence with all verdicts and statuses, in memory and as files; the last commit."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hand_made_results import (
    EXPLANATION,
    measured,
    parity_result,
    ratio,
    rung,
    timing_result,
    training_result,
    unmeasured,
)

from twofold.report.evidence import Evidence, file_name
from twofold.results.json_files import write_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last commit's `comparisons`, `docs` and README: its pages go with its results.

    `make compare` writes this machine's results over those stored for the same processor. Where
    there is no commit (a source distribution), what is there.
    """
    archive = subprocess.run(
        ["git", "archive", "HEAD", "comparisons", "docs", "README.md"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        return ROOT
    folder = tmp_path_factory.mktemp("committed")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture
def evidence() -> Evidence:
    """Two experiments; an engine fails, one is unavailable, a rung is explained, one diverges."""
    worst = {"tensor": "layers.0.weight", "index": [3, 1]}
    worst |= {"computed": 0.5, "oracle": 0.25, "bound": 0.001}
    digits = parity_result(
        "digits",
        rung("init", "torch:eager", "certified", None),
        rung("forward", "torch:eager", "certified", 0.5, worst=worst),
        rung("update", "flax:jit", "explained", 0.75, explanation=EXPLANATION),
        rung("forward", "torch:compile", "not run", None, note="no C++ compiler | none found"),
    )
    lesson = parity_result(
        "lesson",
        rung("forward", "torch:eager", "certified", 0.125),
        rung(
            "gradients",
            "flax:jit",
            "diverges",
            250.0,
            worst=worst,
            note="outside",
            diagnosis=["linear-weight-layout"],
        ),
    )
    timing = (
        timing_result(
            "digits",
            [
                measured("torch:eager", 0.1, 0.001, 0.0009, 0.0011),
                unmeasured("torch:compile", "failed", "no C++ compiler"),
                measured("flax:op-by-op", 2.0, 0.03, 0.029, 0.031),
                measured("flax:jit", 1.0, 0.0005, 0.0004, 0.0006),
            ],
            [
                ratio("flax:op-by-op", 30.0, 28.0, 32.0, "slower"),
                ratio("flax:jit", 0.5, 0.4, 0.625, "faster"),
            ],
        ),
        timing_result(
            "lesson",
            [
                measured("torch:eager", 0.2, 0.001, 0.0009, 0.0011),
                measured("flax:jit", 1.2, 0.00099, 0.0009, 0.0011),
                unmeasured("torch:compile", "unavailable", "torch: not installed"),
            ],
            [ratio("flax:jit", 0.99, 0.95, 1.03, "not distinguishable")],
        ),
    )
    training = (
        training_result("digits", "flax:jit", 0.97),
        training_result("digits", "torch:eager", 0.96),
        training_result("lesson", "torch:eager", None),
    )
    return Evidence(parity=(digits, lesson), timing=timing, training=training)


@pytest.fixture
def results_folder(evidence: Evidence, tmp_path: Path) -> Path:
    """The same evidence as files."""
    folder = tmp_path / "results"
    for result in evidence.parity:
        write_json(folder / file_name("parity", result["experiment"]["name"]), result)
    for result in evidence.timing:
        write_json(folder / file_name("timing", result["experiment"]["name"]), result)
    for result in evidence.training:
        name = file_name("training", result["experiment"]["name"], result["engine"])
        write_json(folder / name, result)
    return folder
