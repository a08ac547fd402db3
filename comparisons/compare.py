"""The main job: parity, timing and training of four experiments, and the guide that follows.

    python -m comparisons.compare [--quick] [--best] [--engines LIST] [--out FOLDER]

Exit codes: 0 all well, 1 parity diverges, 2 bad input, 3 an engine could not run.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from comparisons.narrator import Narrator
from twofold import Experiment, open_session, prepare
from twofold.engines.training import Epoch, TrainingResult, train
from twofold.errors import BadInput, TwofoldError
from twofold.parity.certify import certify
from twofold.parity.judging.verdict import ParityReport, Rung
from twofold.report import advice, environment, guide
from twofold.report.evidence import file_name, load
from twofold.report.results import write_json
from twofold.report.wording import duration, interval
from twofold.timing.measure import checked_engines, measure

EXPERIMENTS: Final = ("digits", "breast-cancer", "diabetes", "lesson")
TRAINED: Final = ("digits", "breast-cancer", "diabetes")
# Each framework as most people run it. All engines, which takes many minutes: --engines all
ENGINES: Final = ("torch:eager", "torch:compile", "flax:op-by-op", "flax:jit")
# And each at its best, on one experiment, with --best: they take two minutes more to compile.
BEST: Final = ("torch:compile-step", "flax:scan")
BEST_ON: Final = "lesson"
TRAINING_ENGINES: Final = ("torch:eager", "flax:jit")
TIMING_SECONDS: Final = 12.0
QUICK_TIMING_SECONDS: Final = 3.0
LOCKED_STEPS: Final = 8  # of step-locked training; `twofold parity SPEC --steps 500` goes further
RESULTS: Final = Path("comparisons") / "results"


@dataclass(frozen=True)
class Plan:
    """What to run, and where its results go; `engines` None for those of each experiment."""

    experiments: tuple[str, ...]
    trained: tuple[str, ...]
    engines: tuple[str, ...] | None
    seconds: float
    folder: Path
    best: bool = False

    def engines_on(self, experiment: str) -> tuple[str, ...]:
        """The engines that run an experiment."""
        if self.engines is not None:
            return self.engines
        return (*ENGINES, *BEST) if self.best and experiment == BEST_ON else ENGINES


@dataclass(frozen=True)
class Trouble:
    """What went wrong on the way, as a sentence and an exit code."""

    message: str
    exit_code: int


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; returns the exit code."""
    narrator = Narrator()
    start = time.monotonic()
    try:
        plan = make_plan(arguments)
        troubles = compare(plan, narrator)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        narrator.fail("interrupted; what was finished is stored, the guide is not written")
        return 130
    for trouble in troubles:
        narrator.fail(trouble.message)
    narrator.say(f"Guide:   {plan.folder / 'GUIDE.md'}  (and guide.html for a browser)")
    narrator.say(f"Results: {plan.folder}  ({time.monotonic() - start:.0f} s)")
    return exit_code(troubles)


def make_plan(arguments: list[str] | None) -> Plan:
    """The plan that the command line asks for. Raises BadInput for a folder that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m comparisons.compare",
        description="Parity, timing and training of four experiments, and a guide.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="digits alone, a few seconds of timing"
    )
    parser.add_argument(
        "--engines",
        help=f"comma-separated, or all; default: {','.join(ENGINES)}",
        metavar="LIST",
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help=f"on {BEST_ON} also {' and '.join(BEST)}: two minutes more",
    )
    parser.add_argument("--out", type=Path, help="folder for results and guide")
    given = parser.parse_args(arguments)
    engines = chosen_engines(given.engines)
    folder = given.out or default_folder(given.quick)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out: {folder} given, which is a file; allowed is a folder")
    if given.quick:
        return Plan(EXPERIMENTS[:1], TRAINED[:1], engines, QUICK_TIMING_SECONDS, folder)
    return Plan(EXPERIMENTS, TRAINED, engines, TIMING_SECONDS, folder, given.best)


def chosen_engines(given: str | None) -> tuple[str, ...] | None:
    """The engines of the command line; None where it names none. Raises BadInput."""
    if given is None:
        return None
    return tuple(checked_engines(None if given == "all" else given.split(",")))


def default_folder(quick: bool) -> Path:
    """One folder for each kind of processor; quick runs apart, so that they replace nothing."""
    processor = str(environment.describe()["processor"])
    slug = re.sub(r"[^a-z0-9]+", "-", processor.lower()).strip("-") or "unknown"
    return RESULTS / (f"{slug}-quick" if quick else slug)


def compare(plan: Plan, narrator: Narrator) -> list[Trouble]:
    """Run the plan and write the guide; returns what went wrong on the way."""
    reports = {name: run_parity(name, plan, narrator) for name in plan.experiments}
    troubles: list[Trouble] = []
    for name, report in reports.items():
        troubles += parity_troubles(name, report)
        troubles += run_timing(name, report, plan, narrator)
    for name in plan.trained:
        for engine in TRAINING_ENGINES:
            troubles += run_training(name, engine, plan, narrator)
    guide.write_guide(plan.folder)
    findings = guide.find(load(plan.folder))
    narrator.heading("in short")
    narrator.say(f"Computing the same thing? {advice.same_thing(findings.parity)}")
    narrator.say(f"How fast? {advice.how_fast(findings.timing)}")
    return troubles


def run_parity(name: str, plan: Plan, narrator: Narrator) -> ParityReport:
    """Climb the ladder with every engine in both precisions, and store the report."""
    narrator.heading(f"parity: {name}")
    path = fresh_file(plan.folder, "parity", name)
    pairs: dict[tuple[str, str], list[Rung]] = {}

    def on_rung(rung: Rung) -> None:
        pairs.setdefault((rung.engine, rung.precision), []).append(rung)
        narrator.update(f"{rung.engine}, {rung.precision}", rung.rung)

    narrator.update("preparing the oracle")
    report = certify(
        Experiment.load(name), engines=plan.engines_on(name), steps=LOCKED_STEPS, on_rung=on_rung
    )
    write_json(path, report.to_json())
    for (engine, precision), rungs in pairs.items():
        narrator.say(f"{engine:18} {precision:8} {count_verdicts(rungs)}")
    return report


def count_verdicts(rungs: list[Rung]) -> str:
    """`16 certified, 2 explained`."""
    verdicts = [rung.verdict for rung in rungs]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))


def parity_troubles(name: str, report: ParityReport) -> list[Trouble]:
    """A sentence for each rung that diverges, and for the first of each engine not run."""
    troubles = [
        Trouble(
            f"parity diverges: {name}, {rung.engine}, {rung.precision}, {rung.rung}: {rung.note}", 1
        )
        for rung in report.rungs
        if rung.verdict == "diverges"
    ]
    missing = {rung.engine: rung for rung in reversed(report.rungs) if rung.verdict == "not run"}
    troubles += [
        Trouble(f"parity not run: {name}, {engine}: {rung.note}", 3)
        for engine, rung in missing.items()
    ]
    return troubles


def run_timing(name: str, report: ParityReport, plan: Plan, narrator: Narrator) -> list[Trouble]:
    """Time every engine that passed, each in a process of its own, and store the samples."""
    narrator.heading(f"timing: {name}")
    path = fresh_file(plan.folder, "timing", name)
    result = measure(
        Experiment.load(name),
        engines=plan.engines_on(name),
        seconds=plan.seconds,
        parity=report,
        on_progress=lambda at: narrator.update(
            f"{at.phase} {at.engine or ''}".strip(), fraction=at.fraction
        ),
    ).to_json()
    write_json(path, result)
    if result["interrupted"]:
        raise KeyboardInterrupt
    troubles = []
    for entry in result["engines"]:
        narrator.say(timing_line(entry))
        if entry["status"] != "measured":
            code = 1 if entry["status"] == "diverges" else 3
            troubles.append(
                Trouble(f"not timed: {name}, {entry['engine']}: {entry['reason']}", code)
            )
    for warning in result["warnings"]:
        narrator.say(f"note: {warning}")
    return troubles


def timing_line(entry: dict[str, Any]) -> str:
    """`torch:eager   step 912 µs (905 µs to 920 µs), cold start 120 ms`."""
    if entry["status"] != "measured":
        return f"{entry['engine']:18} could not be measured: {entry['status']}: {entry['reason']}"
    step = entry["step_s"]
    return (
        f"{entry['engine']:18} step {duration(step['median'])} "
        f"({interval(step['low'], step['high'])}), cold start {duration(entry['cold_start_s'])}"
    )


def run_training(name: str, engine: str, plan: Plan, narrator: Narrator) -> list[Trouble]:
    """Train to the end in one engine, and store the losses and the test metric."""
    narrator.heading(f"training: {name}, {engine}")
    path = fresh_file(plan.folder, "training", name, engine)
    experiment = Experiment.load(name)

    def on_progress(epoch: Epoch) -> None:
        narrator.update("epochs", f"epoch {epoch.epoch}, loss {epoch.loss:.4f}")

    try:
        session = open_session(prepare(experiment), engine)
        result = train(session, on_progress=on_progress)
    except TwofoldError:
        raise
    except Exception as error:  # an engine may fail in any way; the others go on
        return [Trouble(f"not trained: {name}, {engine}: {type(error).__name__}: {error}", 3)]
    write_json(path, result.to_json())
    narrator.say(training_line(result))
    return []


def training_line(result: TrainingResult) -> str:
    """`test accuracy 0.9750 (ignoring the inputs: 0.1000), 690 steps in 1.2 s`."""
    length = f"{result.steps:,} steps in {result.training_seconds:.1f} s"
    if result.score is None:
        return f"{result.outcome}, no test metric; {length}"
    score = result.score
    return (
        f"test {score.name} {score.value:.4f} (ignoring the inputs: {score.baseline:.4f}), {length}"
    )


def fresh_file(folder: Path, kind: str, *parts: str) -> Path:
    """Where a result will be stored; an earlier run's is removed, lest it pass for this."""
    path = folder / file_name(kind, *parts)
    path.unlink(missing_ok=True)
    return path


def exit_code(troubles: list[Trouble]) -> int:
    """1 if anything diverges, else the largest code of all, else 0."""
    codes = {trouble.exit_code for trouble in troubles}
    return 1 if 1 in codes else max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
