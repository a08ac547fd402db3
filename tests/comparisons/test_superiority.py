"""No page puts an engine or a framework above one that was not measured."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_made_results import measured, ratio, timing_result, training_result
from superiority import measured_in, unfounded

from comparisons.machines.__main__ import write_page
from comparisons.pages import SHOWN, excerpt
from twofold.report import advice, guide
from twofold.report.contenders import best_somewhere, contenders_of
from twofold.report.evidence import Evidence, load
from twofold.report.timing_findings import find_timing
from twofold.results.json_files import write_json

ROOT = Path(__file__).parents[2]
STORED = sorted((ROOT / "comparisons" / "results").glob("*/timing-lesson.json"))
ENGINES = {
    "torch:eager": (0.2, 1e-3),
    "torch:compile-step": (9.0, 2e-4),
    "torch:compile-epoch": (9.5, 1e-4),
    "flax:jit": (1.0, 3e-4),
    "flax:scan": (1.1, 1.5e-4),
}


@pytest.fixture(autouse=True)
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages' text alone is read here."""
    monkeypatch.setattr(guide, "_charts", lambda *_: {})


def hand_made(name: str, *without: str, warm: bool = False) -> dict[str, Any]:
    """A timing of the five engines, or of fewer; every pair compared."""
    own = {engine: times for engine, times in ENGINES.items() if engine not in without}
    engines = [
        measured(engine, cold, step, step * 0.99, step * 1.01)
        | ({"warm_start_s": min(cold, 2.0 + step)} if warm else {})
        for engine, (cold, step) in own.items()
    ]
    ratios = [
        ratio(one, r := own[one][1] / own[other][1], r, r, "faster" if r < 1 else "slower")
        | {"reference": other}
        for other, one in itertools.combinations(own, 2)
    ]
    return timing_result(name, engines, ratios) | {"steps": 5_000}


def subsets() -> Iterator[tuple[str, ...]]:
    """Which engines are taken away: none, each one, each two."""
    for number in range(3):
        yield from itertools.combinations(ENGINES, number)


@pytest.mark.parametrize("warm", [False, True])
def test_a_guide_of_any_engines_claims_no_more_than_they_support(warm: bool) -> None:
    everything = hand_made("lesson", warm=warm)
    for without in subsets():
        timing = (everything, hand_made("digits", *without, warm=warm))
        training = (training_result("digits", "flax:jit", 0.9),)
        page = guide.compose(Evidence(timing=timing, training=training)).markdown
        assert unfounded(page, measured_in(timing)) == [], without
        assert "lesson, step time, each framework at its best" in page
        complete = not set(without) - {"torch:eager"}
        assert ("digits, step time, each framework at its best" in page) == complete


def test_the_page_of_machines_claims_no_more_than_its_engines_support(tmp_path: Path) -> None:
    for number, without in enumerate(subsets()):
        folder = tmp_path / str(number)
        kept = hand_made("digits", *without)
        write_json(folder / "results" / "one" / "timing-digits.json", kept)
        write_json(folder / "results" / "two" / "timing-digits.json", hand_made("digits"))
        write_page(folder / "results", folder / "MACHINES.md")
        text = (folder / "MACHINES.md").read_text(encoding="utf-8")
        (line,) = [line for line in text.splitlines() if "Whose step is the shortest" in line]
        complete = not set(without) - {"torch:eager"}
        assert ("at its best on both" in line or "at its best: " in line) == complete, line
        for place in line.partition("In digits")[2].split("; "):  # a machine, or all of them
            first = place.startswith((": torch", ": flax", "torch", "flax"))
            own = kept if "(one)" in place or not first else hand_made("digits")
            assert unfounded(f"In digits, {place}", measured_in([own])) == []


def without_engine(results: tuple[dict[str, Any], ...], engine: str) -> Iterator[dict[str, Any]]:
    for result in results:
        engines = [entry for entry in result["engines"] if entry["engine"] != engine]
        ratios = [
            item for item in result["ratios"] if engine not in (item["engine"], item["reference"])
        ]
        yield {**result, "engines": engines, "ratios": ratios}


@pytest.mark.parametrize("folder", [path.parent for path in STORED], ids=lambda path: path.name)
def test_stored_results_with_any_engine_removed_claim_no_more(folder: Path) -> None:
    evidence = load(folder)
    engines = {name for names in measured_in(evidence.timing).values() for name in names}
    for engine in (None, *sorted(engines)):
        timing = evidence.timing
        if engine is not None:
            timing = tuple(without_engine(timing, engine))
        changed = Evidence(parity=evidence.parity, timing=timing, training=evidence.training)
        text = guide.compose(changed).markdown.partition("## How fast")
        assert unfounded(text[0].partition("## Are both")[0], measured_in(timing)) == [], engine
        assert unfounded(text[2], measured_in(timing)) == [], engine
        assert unfounded(excerpt(changed, folder.name), measured_in(timing)) == [], engine
        for result in timing:
            assert unfounded(advice.how_fast((find_timing(result),)), measured_in([result])) == []


@pytest.mark.parametrize("page", ["README.md", "comparisons/GUIDE.md"])
def test_the_committed_pages_claim_no_more(committed: Path, page: str) -> None:
    text = (committed / page).read_text(encoding="utf-8")
    if page == "README.md":
        text = text.partition("<!-- excerpt")[2].partition("<!-- end")[0]
    else:
        before, _, after = text.partition("## How fast")
        text = before.partition("## Are both")[0] + after
    stored = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((committed / "comparisons" / "results" / SHOWN).glob("timing-*.json"))
    ]
    assert unfounded(text, measured_in(stored)) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "- **How fast is each?** Of 4 experiments, the shortest step: flax:jit in 4.",
        "- **digits, each framework at its best:** flax:jit (1 µs a step) is 4.35 times as fast.",
        "- **digits, shortest time to a result:** flax:jit from the start.",
        "- In breast-cancer, diabetes and digits: flax:jit on both.",
        "- **Never the shortest way to a result here**: torch:eager.",
        "In digits, of the engines measured (torch:eager and flax:jit): flax:scan.",
        "In digits, of the engines measured (torch:eager): torch:eager.",
        "From about 30 steps on flax:jit is sooner than torch:eager.",
    ],
)
def test_the_check_finds_what_such_pages_said(sentence: str) -> None:
    engines = {"torch:eager", "flax:jit"}
    places = dict.fromkeys(("breast-cancer", "diabetes", "digits", "lesson"), engines)
    assert len(unfounded(sentence, places)) == 1


# Which engines have been their framework's fastest


def runs(folder: Path) -> Iterator[dict[str, float]]:
    """The step times of every stored run that compares engines, by engine."""
    for path in sorted(folder.glob("*/*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        kind = path.name.partition("-")[0]
        if kind == "timing":
            yield {e["engine"]: e["step_s"]["median"] for e in stored["engines"] if e["step_s"]}
        elif kind in ("peers", "targets"):
            entries = stored["timings"] if kind == "peers" else stored["small"]
            yield {e["engine"]: e["step_s"]["median"] for e in entries if e["step_s"]}
        elif kind == "sweep":
            for point in stored["points"]:
                yield {e["engine"]: e["step_s"]["median"] for e in point["engines"] if e["step_s"]}
        elif path.name.startswith("calibration-advice"):
            found: dict[str, dict[str, float]] = {}
            for point in stored["points"]:
                place = json.dumps(point["workload"])
                found.setdefault(place, {})[point["engine"]] = point["step_s"]
            yield from found.values()


def test_the_contenders_are_those_of_the_stored_runs() -> None:
    """Each has been the fastest of its framework; nothing else ever was, where one took part."""
    ahead: dict[str, set[str]] = {backend: set() for backend in best_somewhere()}
    number = 0
    for steps in runs(ROOT / "comparisons" / "results"):
        for backend in best_somewhere():
            own = {name: step for name, step in steps.items() if name.startswith(f"{backend}:")}
            if len(own) > 1 and set(own) & set(contenders_of(backend)) - {"flax:jit"}:
                ahead[backend].add(min(own, key=lambda name: own[name]))
                number += 1
    assert number > 100
    assert ahead == {backend: set(names) for backend, names in best_somewhere().items()}
