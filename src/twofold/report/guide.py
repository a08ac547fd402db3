"""The guide: results in; Markdown, figures and one web page out. Same results, same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from twofold.report import advice, divergence_chart, figures, speed_advice, wording
from twofold.report.environments import describe_environments
from twofold.report.evidence import SCHEMAS, Evidence, load
from twofold.report.output import write_together
from twofold.report.page import render_page
from twofold.report.parity_findings import ParityFindings, Tally, find_parity, unique
from twofold.report.study_findings import StudyFindings, find_studies
from twofold.report.style import Chart, to_svg
from twofold.report.timing_findings import Comparison, ExperimentTiming, find_timing
from twofold.report.training_findings import ExperimentTraining, find_training

FIGURES: Final = "figures"


@dataclass(frozen=True)
class Findings:
    """All that the guide says, as plain values."""

    parity: ParityFindings | None
    timing: tuple[ExperimentTiming, ...]
    training: tuple[ExperimentTraining, ...]
    studies: StudyFindings
    advice: tuple[str, ...]
    environments: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Guide:
    """A finished guide: its Markdown, and its charts by name."""

    markdown: str
    charts: dict[str, Chart]


def find(evidence: Evidence) -> Findings:
    """Compute the findings of stored results."""
    parity = find_parity(evidence.parity)
    timing = tuple(find_timing(result) for result in evidence.timing)
    training = find_training(evidence.training, _engines(parity, timing))
    timing = tuple(_with_steps(item, training) for item in timing)
    return Findings(
        parity=parity,
        timing=timing,
        training=training,
        studies=find_studies(evidence),
        advice=advice.advise(parity, timing, training),
        environments={
            kind: describe_environments(result["environment"] for result in evidence.of_kind(kind))
            for kind in SCHEMAS
        },
    )


def _with_steps(
    timing: ExperimentTiming, training: tuple[ExperimentTraining, ...]
) -> ExperimentTiming:
    """The timing with the experiment's number of steps; older ones do not store it."""
    if timing.steps is not None:
        return timing
    steps = {item.experiment: item.steps for item in training}.get(timing.experiment)
    return replace(timing, steps=steps or None)


def _engines(
    parity: ParityFindings | None, timing: tuple[ExperimentTiming, ...]
) -> tuple[str, ...]:
    """Every engine in the order in which the results name them."""
    timed = (engine.engine for item in timing for engine in item.engines)
    return unique((*(parity.engines if parity else ()), *timed))


def compose(evidence: Evidence) -> Guide:
    """The guide of stored results: a pure function of them.

    Charts show the text of results as it is; the Markdown is made from escaped text.
    """
    charts = _charts(find(evidence), evidence)
    findings = find(evidence.escaped())
    template = _templates().get_template("guide.md.jinja")
    markdown = template.render(
        findings=findings,
        charts=charts,
        figures=FIGURES,
        same_thing=advice.same_thing(findings.parity),
        shortest_step=speed_advice.shortest_step(findings.timing),
        soonest_cold=speed_advice.soonest(findings.timing, "empty"),
        soonest_warm=speed_advice.soonest(findings.timing, "full"),
        contenders=speed_advice.known_contenders(),
    )
    single_spaced = re.sub(r"\n{3,}", "\n\n", markdown).strip()
    return Guide(markdown=single_spaced + "\n", charts=charts)


def write_guide(results: Path, out: Path | None = None) -> Path:
    """Read the results of a folder and write GUIDE.md, guide.html and figures/*.svg beside them.

    All files or none. Returns the path of GUIDE.md. Raises ResultError when there is nothing to
    read or a result is damaged, BadInput when the folder cannot be written to.
    """
    guide = compose(load(results))
    folder = out or results
    svgs = {name: to_svg(chart) for name, chart in guide.charts.items()}
    files = {f"{FIGURES}/{name}.svg": svg for name, svg in svgs.items()}
    files["guide.html"] = render_page(guide.markdown, guide.charts, svgs)
    files["GUIDE.md"] = guide.markdown
    write_together(folder, {name: text.encode("utf-8") for name, text in files.items()})
    return folder / "GUIDE.md"


def _charts(findings: Findings, evidence: Evidence) -> dict[str, Chart]:
    drawn = {
        "parity": figures.parity_chart(findings.parity) if findings.parity else None,
        "step-time": figures.step_time_chart(findings.timing),
        "time-to-result": figures.time_to_result_chart(findings.timing),
    }
    drawn |= {
        found.figure: divergence_chart.chart(result)
        for found, result in zip(findings.studies.free_runs, evidence.divergence, strict=True)
    }
    return {name: chart for name, chart in drawn.items() if chart is not None}


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("twofold.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, not HTML; every text of a result is escaped before it comes
    )
    filters: dict[str, Callable[..., Any]] = {
        "duration": wording.duration,
        "significant": wording.significant,
        "listing": wording.listing,
        "counted": wording.counted,
        "cell": wording.cell,
        "sentence": wording.sentence,
        "tally": tally_words,
        "outcome": outcome_words,
        "threads": wording.threads,
        "soonest": lambda item, steps: (
            "–" if item is None else wording.duration(item.time_to(steps))
        ),
        "part": lambda value: wording.duration(value) if value else "0",
        "ratio": lambda value: "–" if value is None else wording.significant(value),
    }
    templates.filters.update(filters)
    templates.globals["interval"] = wording.interval
    return templates


def tally_words(tally: Tally) -> str:
    """`14 certified, 2 explained`; verdicts that nothing got are left out."""
    counts = {
        "certified": tally.certified,
        "explained": tally.explained,
        "**diverging**": tally.diverging,
        "not run": tally.not_run,
        "out of range": tally.out_of_range,
        "vacuous": tally.vacuous,
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "–"


def outcome_words(comparison: Comparison | None) -> str:
    """`faster: 2.1 times as fast (2.0 to 2.2)`, `not distinguishable (0.99 to 1.01)`, ..."""
    if comparison is None:
        return "–"
    low, middle, high = comparison.low, comparison.median, comparison.high
    if not (low and middle and high):
        return comparison.outcome
    show = wording.significant
    if comparison.outcome == "faster":
        return f"faster: {show(1 / middle)} times as fast ({show(1 / high)} to {show(1 / low)})"
    if comparison.outcome == "slower":
        return f"slower: {show(middle)} times the step ({show(low)} to {show(high)})"
    return f"{comparison.outcome} ({show(low)} to {show(high)} times the step)"
