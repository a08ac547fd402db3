"""The committed pages: which stored run they are of, and every figure of the README's excerpt."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from comparisons.claims.page import page as claims_page
from comparisons.claims.store import load as load_claims
from comparisons.pages import BEGIN, END, EXCERPT_OF, SHOWN, main, with_excerpt, write_pages
from twofold.errors import BadInput
from twofold.report.evidence import load
from twofold.report.guide import compose

UNITS = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}
LINE = re.compile(
    r"^  (?P<engine>\S+) +step (?P<step>\S+ \S+) \((?P<low>\S+ \S+) to (?P<high>\S+ \S+)\), "
    r"cold start (?P<cold>\S+ \S+)"
)


def excerpt_of(readme: str) -> str:
    return readme.partition(BEGIN)[2].partition(END)[0]


def stored(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def wrong_figures(text: str, timing: dict[str, Any], parity: list[dict[str, Any]]) -> list[str]:
    """The figures of an excerpt that are not those of the stored results, to three digits."""
    wrong: list[str] = []
    found = {match["engine"]: match for line in text.splitlines() if (match := LINE.match(line))}
    measured = {e["engine"]: e for e in timing["engines"] if e["status"] == "measured"}
    if set(found) != set(measured):
        wrong.append(f"engines {sorted(found)}, stored {sorted(measured)}")
    for engine in set(found) & set(measured):
        entry, match = measured[engine], found[engine]
        figures = {
            **entry["step_s"],
            "step": entry["step_s"]["median"],
            "cold": entry["cold_start_s"],
        }
        for name in ("step", "low", "high", "cold"):
            number, unit = match[name].split()
            shown = float(number.replace(",", "")) * UNITS[unit.rstrip(",")]
            if shown != pytest.approx(figures[name], rel=0.0051):
                wrong.append(f"{engine} {name}: {match[name]}, stored {figures[name]}")
    verdicts = [rung["verdict"] for result in parity for rung in result["rungs"]]
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (certified|explained)", text)}
    if counts != {word: verdicts.count(word) for word in ("certified", "explained")}:
        wrong.append(f"rungs {counts}")
    total = re.search(r"all ([\d,]+) rungs", text)
    if total and int(total[1].replace(",", "")) != len(verdicts):
        wrong.append(f"rungs {total[1]}, stored {len(verdicts)}")
    return wrong


@pytest.fixture
def shown(committed: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The committed README's excerpt, and the results that it is of."""
    folder = committed / "comparisons" / "results" / SHOWN
    parity = [stored(folder, path.name) for path in sorted(folder.glob("parity-*.json"))]
    text = excerpt_of((committed / "README.md").read_text(encoding="utf-8"))
    return text, stored(folder, f"timing-{EXCERPT_OF}.json"), parity


def test_every_figure_of_the_readmes_excerpt_is_stored(shown: Any) -> None:
    text, timing, parity = shown
    assert wrong_figures(text, timing, parity) == []
    assert timing["environment"]["processor"] in text
    assert timing["environment"]["time_utc"][:10] in text


def test_the_readmes_excerpt_is_what_the_command_writes(committed: Path) -> None:
    readme = (committed / "README.md").read_text(encoding="utf-8")
    evidence = load(committed / "comparisons" / "results" / SHOWN)
    assert with_excerpt(readme, evidence, SHOWN) == readme


def test_a_stale_excerpt_is_found(shown: Any) -> None:
    text, timing, parity = shown
    slower = copy.deepcopy(timing)
    slower["engines"][0]["step_s"]["median"] *= 1.02
    assert len(wrong_figures(text, slower, parity)) == 1
    longer = copy.deepcopy(timing)
    longer["engines"][-1]["cold_start_s"] += 0.1
    assert len(wrong_figures(text, longer, parity)) == 1
    fewer = copy.deepcopy(parity)
    fewer[0]["rungs"].pop()
    assert wrong_figures(text, timing, fewer)
    assert wrong_figures(text, {**timing, "engines": timing["engines"][1:]}, parity)


def test_the_committed_guides_and_claims_are_what_the_stored_results_give(committed: Path) -> None:
    results = committed / "comparisons" / "results"
    guides = sorted(results.glob("*/GUIDE.md"))
    assert results / SHOWN / "GUIDE.md" in guides
    for path in guides:
        assert compose(load(path.parent)).markdown == path.read_text(encoding="utf-8"), path
    file = f"results/{SHOWN}/claims.json"
    claims = claims_page(load_claims(committed / "comparisons" / file), file, file)
    assert claims == (committed / "comparisons" / "CLAIMS.md").read_text(encoding="utf-8")


def test_the_tours_figures_on_the_advice_are_stored(committed: Path) -> None:
    tour = (committed / "docs" / "tour.md").read_text(encoding="utf-8")
    folder = committed / "comparisons" / "results" / "intel-r-xeon-r-processor"
    score = stored(folder, "advice-score-2-threads.json")
    used = next(one for one in score["scores"] if one["name"] == score["way"])
    sure = score["sureness"]["sure"]
    assert sure["right"] == sure["of"]
    flat = " ".join(tour.split())
    assert f"Among {score['workloads']} random workloads" in flat
    assert f"named {used['right']} of the {used['clear']} clear winners" in flat
    assert f"right in all {sure['of']} where it said to be sure" in flat
    assert f"step times were off by {100 * used['median_error']:.0f} %" in flat


# The command


@pytest.fixture
def root(committed: Path, tmp_path: Path) -> Path:
    """A copy of the README and of one machine's results, small enough to write again."""
    results = tmp_path / "comparisons" / "results" / SHOWN
    results.mkdir(parents=True)
    source = committed / "comparisons" / "results" / SHOWN
    for path in (*source.glob("timing-*.json"), source / "claims.json"):
        shutil.copy(path, results)
    shutil.copy(committed / "README.md", tmp_path)
    return tmp_path


def test_one_command_writes_every_page_and_a_second_time_the_same(root: Path) -> None:
    results = root / "comparisons" / "results"
    given = ["--root", str(root), "--results", str(results)]
    assert main(given) == 0
    pages = ("GUIDE.md", "MACHINES.md", "CLAIMS.md", f"results/{SHOWN}/GUIDE.md", "../README.md")
    first = [(root / "comparisons" / page).read_bytes() for page in pages]
    assert main(given) == 0
    assert first == [(root / "comparisons" / page).read_bytes() for page in pages]
    assert "there are no parity results" in (root / "README.md").read_text(encoding="utf-8")


def test_a_readme_without_its_markers_is_refused_and_nothing_is_written(root: Path) -> None:
    (root / "README.md").write_text("# Nothing here\n", encoding="utf-8")
    with pytest.raises(BadInput, match="0 excerpts found"):
        list(write_pages(root, root / "comparisons" / "results", SHOWN))
    assert not (root / "comparisons" / "GUIDE.md").exists()
