"""What a person and a program read of the first difference."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from tests.port import flax_models, torch_models
from twofold import port
from twofold.cli.port_view import print_report
from twofold.port.report import Difference, difference_lines, from_json

ROWS = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def report():
    copy = flax_models.MLP(epsilon=1e-3)
    return port.certify(torch_models.MLP(), copy, (ROWS,), gradients=False, precisions=())


def test_the_json_has_all_and_comes_back(report):
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["schema"] == "twofold.port/1"
    first = stored["first_difference"]
    assert first["port_module"] == "norm"
    assert first["trap"] == "layernorm-eps"
    assert from_json(stored).first_difference == report.first_difference


def test_a_report_stored_before_there_were_causes_can_be_read(report):
    stored = json.loads(json.dumps(report.to_json()))
    for name in ("kind", "likely", "evidence", "also"):
        del stored["first_difference"][name]
    assert from_json(stored).first_difference.also == ()


def test_markdown_and_terminal_say_place_cause_and_trap(report):
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=200))
    for text in (report.to_markdown(), stream.getvalue(), "\n".join(report.story())):
        assert "module norm, tests/port/flax_models.py:" in text
        assert (
            "cause: the epsilon of the layer norm: 1e-05 in the original, 0.001 in the port" in text
        )
        assert "evidence: tried in float64" in text
        assert "trap: layernorm-eps" in text


def test_a_likely_cause_is_not_called_the_cause():
    lines = difference_lines(Difference("loss", "loss", cause="c", likely=True))
    assert lines == ["likely cause, not confirmed: c"]


def test_many_modules_are_counted():
    also = tuple(f"blocks.{i}" for i in range(8))
    (line,) = difference_lines(Difference("loss", "loss", also=also))
    assert line.endswith("blocks.4 and 3 more")
