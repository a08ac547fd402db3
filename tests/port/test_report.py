"""A report as JSON, Markdown and in a terminal; the command line and its exit codes."""

from __future__ import annotations

import io
import json
import sys
import textwrap
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from twofold.cli.main import app
from twofold.cli.port_view import print_report
from twofold.errors import BadInput, ResultError, SideFailed
from twofold.port.report import (
    SCHEMA,
    Difference,
    Finding,
    Narrowing,
    PortReport,
    PortRung,
    from_json,
)

INFINITE = Finding("fc.weight", "fc.kernel", "differs", float("inf"), (0, 3), 1.0, 2.0, 1e-16, 1.0)
NEAR = Finding("output", "output", "same", 1.5, (2,), 0.25, 0.25, 1e-17, 0.0)


def report(*findings, verdict="differs"):
    return PortReport(
        original="PyTorch GPT",
        port="NNX GPT",
        rungs=(
            PortRung("weights", "pair", "same", note="2 links"),
            PortRung(
                "gradients",
                "pair",
                verdict,
                findings[0].tensor,
                findings[0].ratio,
                findings=tuple(findings),
            ),
        ),
        first_difference=Difference("gradients", "fc.weight", "fc.kernel", module="fc", size=0.5)
        if verdict == "differs"
        else None,
        narrowings=(Narrowing("port", "mine.py:7", "float64", "bfloat16"),),
        twins=2,
    )


def test_json_there_and_back_with_numbers_that_are_not_finite():
    before = report(INFINITE, NEAR)
    text = json.dumps(before.to_json(), allow_nan=False)
    stored = json.loads(text)
    assert stored["schema"] == SCHEMA
    assert stored["passed"] is False
    assert from_json(stored) == before
    with pytest.raises(ResultError, match="schema"):
        from_json({"schema": "twofold.port/0"})


def test_what_passes_and_what_does_not():
    assert report(NEAR, verdict="same").passed
    assert report(NEAR, verdict="explained").passed
    assert not report(NEAR, verdict="undecided").passed
    assert not report(INFINITE).passed
    assert not report(NEAR, verdict="not exercised").passed  # nothing was judged
    assert report(NEAR, verdict="undecided").outcome() == "undecided"


def test_markdown_names_the_rung_and_the_place():
    page = report(INFINITE, NEAR).to_markdown()
    assert "| gradients | pair | differs | `fc.weight` | inf |" in page
    assert "fc.weight and fc.kernel[0, 3]: 1.0 and 2.0" in page
    assert "First difference: gradients, fc.weight" in page


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_view_fits(width):
    console = Console(width=width, record=True, file=io.StringIO())
    name = "a.very.long.module.path." * 5 + "w"
    long = Finding(name, "x", "differs", 1e10, (1,), 1.0, 2.0, 1e-16)
    print_report(report(long, NEAR), console)
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    table_line = next(line for line in text.splitlines() if line.startswith(" gradients"))
    assert "differs" in table_line
    assert "1e+10" in table_line
    assert table_line.rstrip().endswith("module.path.w")
    assert "mine.py:7 (port): float64 to bfloat16" in text


MINE = """
import numpy as np
import torch
from twofold import port


class Model(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        self.factor = factor

    def forward(self, x):
        return self.factor * self.fc(x)


def pair():
    print("what the file prints")
    return port.Pair(Model(1.0), Model(FACTOR), batches=[(np.eye(3),)])
"""


@pytest.mark.parametrize(("factor", "code"), [("1.0", 0), ("1.001", 1)])
def test_check_judges_a_file_in_a_process_of_its_own(tmp_path, factor, code):
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace("FACTOR", factor))
    stored, page = tmp_path / "r.json", tmp_path / "r.md"
    command = ["port", "check", str(file), "--forward", "--json", str(stored)]
    result = CliRunner().invoke(app, [*command, "--markdown", str(page)])
    assert result.exit_code == code, result.output
    assert "PyTorch Model" in result.output
    assert from_json(json.loads(stored.read_text())).passed == (code == 0)
    assert page.read_text().startswith("# PyTorch Model")
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("x = 1", BadInput, "has no pair"),
        ("def pair(): return 3", BadInput, "pair.. returned a int"),
        ("import nothing_of_this_name", BadInput, "cannot be imported"),
        ("import os\ndef pair(): os._exit(4)", SideFailed, "exit code 4"),
    ],
)
def test_a_file_that_cannot_be_judged_says_why(tmp_path, source, error, said):
    file = tmp_path / "mine.py"
    file.write_text(textwrap.dedent(source))
    with pytest.raises(error, match=said) as caught:
        CliRunner().invoke(app, ["port", "check", str(file)], catch_exceptions=False)
    assert caught.value.exit_code in (2, 3)


def test_a_missing_file_is_bad_input():
    with pytest.raises(BadInput, match="no such file"):
        CliRunner().invoke(app, ["port", "check", str(Path("no.py"))], catch_exceptions=False)
