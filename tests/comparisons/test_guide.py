"""The guide: the same results give the same bytes; nothing that failed is left out."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from comparisons.pages import SHOWN
from twofold.errors import ResultError
from twofold.report.evidence import Evidence, load
from twofold.report.figures import label_heights, powers_of_ten
from twofold.report.guide import compose, write_guide
from twofold.report.style import colour


def files_of(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_same_results_give_the_same_bytes(results_folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_guide(results_folder, first)
    write_guide(results_folder, second)
    assert files_of(first) == files_of(second)
    assert set(files_of(first)) == {
        "GUIDE.md",
        "guide.html",
        "figures/parity.svg",
        "figures/step-time.svg",
        "figures/time-to-result.svg",
    }


def test_reading_files_gives_the_same_evidence(results_folder: Path, evidence: Evidence) -> None:
    assert compose(load(results_folder)).markdown == compose(evidence).markdown


def test_the_questions_come_in_order(evidence: Evidence) -> None:
    markdown = compose(evidence).markdown
    assert re.findall(r"^## (.*)$", markdown, re.MULTILINE) == [
        "Are both computing the same thing?",
        "How fast is each?",
        "Does training end in the same place?",
        "What follows",
    ]


def test_every_experiment_engine_and_reason_is_there(evidence: Evidence) -> None:
    markdown = compose(evidence).markdown
    row = "| flax:op-by-op | 30.0 ms | 29.0 ms to 31.0 ms | 2.00 s | not measured | slower: 30.0"
    assert row in markdown
    assert "faster: 2.00 times as fast (1.60 to 2.50)" in markdown
    assert "not distinguishable (0.950 to 1.03 times the step)" in markdown
    assert "could not be measured (failed: no C++ compiler)" in markdown
    assert "could not be measured (unavailable: torch: not installed)" in markdown
    assert "| lesson | flax:jit | float32 | gradients | 250 |" in markdown
    assert "layers.0.weight[3, 1]: computed 0.5, oracle 0.25, bound 0.001" in markdown
    assert "no C++ compiler \\| none found" in markdown
    assert "6.6e-06 of the first update" in markdown
    assert "| lesson | no test rows | torch:eager | diverged |" in markdown


def test_every_section_carries_its_environment(evidence: Evidence) -> None:
    assert compose(evidence).markdown.count("*Measured on: Testonium 9000") == 3


def test_tables_are_tables(evidence: Evidence) -> None:
    html = MarkdownIt("commonmark").enable("table").render(compose(evidence).markdown)
    assert html.count("<table>") == 8
    assert "|" not in re.sub(r"<code>.*?</code>|C\+\+ compiler \| none found", "", html)


@pytest.mark.parametrize("kind", ["parity", "timing", "training"])
def test_a_guide_of_one_kind_of_result(evidence: Evidence, kind: str) -> None:
    markdown = compose(Evidence(**{kind: getattr(evidence, kind)})).markdown
    assert "Not known" in markdown
    assert markdown.count("Measured on") == 1


def test_timing_without_parity_and_warnings_are_said(evidence: Evidence) -> None:
    result = {**evidence.timing[0], "unchecked": True, "warnings": ["The machine was busy."]}
    markdown = compose(Evidence(timing=({**result, "interrupted": True},))).markdown
    assert "**Timed without a parity check**" in markdown
    assert "Warning: The machine was busy." in markdown
    assert "**Interrupted" in markdown


def test_the_parts_of_a_start_are_a_table_where_they_are_stored(evidence: Evidence) -> None:
    old = evidence.timing[0]
    assert "Where a start goes" not in compose(Evidence(timing=(old,))).markdown
    unknown = {"import_s": 0.02, "open_s": 0.03, "first_step_s": 0.05, "compilations": 0}
    known = unknown | {"opening_s": 0.03, "trace_s": 0.0, "compile_s": 0.041, "first_run_s": 0.009}
    eager, *others, jit = old["engines"]
    eager = {**eager, "cold_start": {**unknown, "trace_s": None}, "warm_start": None}
    jit = {**jit, "cold_start": known, "warm_start": {**known, "compile_s": 0.002}}
    markdown = compose(Evidence(timing=({**old, "engines": [eager, *others, jit]},))).markdown
    (table,) = re.findall(r"\| engine \| cache .*?\n\n", markdown, re.DOTALL)
    assert table.splitlines()[2:] == [
        "| flax:jit | empty | 20.0 ms | 30.0 ms | 0 | 41.0 ms | 9.00 ms |",
        "| flax:jit | full | 20.0 ms | 30.0 ms | 0 | 2.00 ms | 9.00 ms |",
        "",
    ]


def test_nothing_measured_gives_no_chart(evidence: Evidence) -> None:
    result = evidence.timing[0]
    result = {**result, "engines": result["engines"][1:2], "ratios": []}
    assert compose(Evidence(timing=(result,))).charts == {}


def test_figures_are_svg_with_text_and_an_opaque_background(results_folder: Path) -> None:
    write_guide(results_folder)
    for path in (results_folder / "figures").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        assert root.tag.endswith("svg")
        assert 'fill="#ffffff"' in text
        words = "".join(root.itertext())
        assert "torch:eager" in words or "float32" in words


def test_the_page_stands_alone(results_folder: Path) -> None:
    write_guide(results_folder)
    page = (results_folder / "guide.html").read_text(encoding="utf-8")
    assert not re.search(r"<script [^>]*src=", page)
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(link|img)\b", body)
    assert page.count("<svg") >= 3
    assert 'id="what-follows"' in page
    assert 'href="#what-follows"' in page
    match = re.search(r"const charts = (.*);\n", page)
    assert match is not None
    assert set(json.loads(match[1])) == {"parity", "step-time", "time-to-result"}
    assert page.count("</script>") == 2


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no results"):
        load(tmp_path)


def test_another_schema_is_refused(results_folder: Path) -> None:
    (results_folder / "timing-digits.json").write_text('{"schema": "twofold.timing/99"}')
    with pytest.raises(ResultError, match=r"twofold.timing/99"):
        load(results_folder)
    assert not (results_folder / "GUIDE.md").exists()


def test_the_guide_can_be_written_again_without_any_framework(results_folder: Path) -> None:
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['report', {str(results_folder)!r}]\n"
        "try:\n    runpy.run_module('twofold.report', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        "from twofold.backends.installed import packages\n"
        "loaded = {'torch', 'jax', 'flax', 'optax', *packages()} - {'twofold', 'numpy'}\n"
        "assert not loaded & set(sys.modules), loaded & set(sys.modules)\n"
        "parts = [name for name in sys.modules if name.startswith('twofold_') and '.' in name]\n"
        "assert not parts, f'more of a backend than its description: {parts}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(results_folder / "GUIDE.md")


def test_labels_keep_their_distance() -> None:
    placed = label_heights({"a": 100.0, "b": 1.0, "c": 1.1}, gap=2.0)
    assert placed == {"b": 1.0, "c": 2.0, "a": 100.0}


def test_ticks_are_powers_of_ten() -> None:
    assert powers_of_ten(0.5, 2000.0) == [1.0, 10.0, 100.0, 1000.0]
    assert powers_of_ten(1.0, 100.0) == [1.0, 10.0, 100.0]


def test_engines_of_a_backend_have_colours_of_their_own() -> None:
    engines = ("torch:eager", "torch:compile", "flax:op-by-op", "flax:jit")
    assert len({colour(engine, engines) for engine in engines}) == len(engines)


def test_the_guide_that_is_shown_is_that_of_the_machine_shown_with_all_its_figures(
    committed: Path,
) -> None:
    shown = committed / "comparisons"
    text = (shown / "GUIDE.md").read_text(encoding="utf-8")
    owners = [
        path.parent
        for path in (shown / "results").glob("*/GUIDE.md")
        if path.read_text(encoding="utf-8") == text
    ]
    assert [owner.name for owner in owners] == [SHOWN]
    figures = set(re.findall(r"\((figures/[\w-]+\.svg)\)", text))
    assert figures
    assert {f"figures/{path.name}" for path in (shown / "figures").iterdir()} == figures
    for figure in figures:
        assert (shown / figure).read_bytes() == (owners[0] / figure).read_bytes()
