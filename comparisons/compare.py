"""The main job: parity, timing and training of four experiments, and the guide that follows.

    python -m comparisons.compare [--quick] [--best | --engines LIST] [--out FOLDER | --store]

Exit codes: 0 all well, 1 parity diverges, 2 bad input or parity not shown, 3 an engine could not
run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from comparisons.folders import add_folder_options, chosen_folder
from comparisons.narrator import Narrator
from twofold import Experiment, open_session, prepare
from twofold.backends import installed
from twofold.commands import run_command
from twofold.engines import registry
from twofold.engines.training import Epoch, TrainingResult, train
from twofold.errors import BadInput, TwofoldError
from twofold.files import remove_file
from twofold.parity.certify import PRECISIONS
from twofold.parity.judging.verdict import EXIT_CODES, ParityReport, Rung, conclusion
from twofold.parity.ladder.rungs import LADDER
from twofold.report import advice, guide
from twofold.report.contenders import best_somewhere
from twofold.report.evidence import file_name, load
from twofold.report.wording import duration, interval
from twofold.results.json_files import write_json
from twofold.spec.experiment import Precision
from twofold.timing.conditions import Conditions
from twofold.timing.measure import checked_engines, measure
from twofold.timing.protocol import Certification, Progress
from twofold.timing.result import TimingResult

# The one that starts soonest goes first: its verdicts are the first.
EXPERIMENTS: Final = ("diabetes", "digits", "breast-cancer", "lesson")
QUICK_EXPERIMENTS: Final = ("digits",)
TRAINED: Final = ("digits", "breast-cancer", "diabetes")
# Each framework as most people run it: torch:eager, flax:jit.
USUAL: Final = ("torch:eager", "flax:jit")
# And one of its quickest: torch:compile-epoch takes as long a step and longer to compile.
QUICK: Final = ("torch:compile-step", "flax:scan")
# The one line that many PyTorch programs add. It takes longest to compile and is never among the
# quickest, so it runs on one experiment. All engines, which takes many minutes: --engines all
ONE_LINE: Final = "torch:compile"
ONE_LINE_ON: Final = "lesson"
SMALLEST: Final = "diabetes"
TRAINING_ENGINES: Final = USUAL
TIMING_SECONDS: Final = 6.0
QUICK_TIMING_SECONDS: Final = 3.0
LOCKED_STEPS: Final = 8  # of step-locked training; `twofold parity SPEC --steps 500` goes further


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
        wanted = {*USUAL, *QUICK} | ({ONE_LINE} if experiment == ONE_LINE_ON else set())
        if self.best:
            wanted |= {name for names in best_somewhere().values() for name in names}
        return tuple(name for name in installed.engine_names() if name in wanted)

    def precisions_on(self, experiment: str, engine: str) -> tuple[Precision, ...]:
        """What an engine is certified in: float32, in which it is timed.

        On one experiment float64 too, for every program is compiled once more for it: on the one
        with the smallest network, or on the last where the engine does not run there.
        """
        small = SMALLEST in self.experiments and engine in self.engines_on(SMALLEST)
        once = SMALLEST if small else self.experiments[-1]
        return PRECISIONS if experiment == once else ("float32",)


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
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--best",
        action="store_true",
        help="also every other engine that was its framework's quickest in some stored run, "
        "two minutes more: only then a framework counts as timed at its best",
    )
    choice.add_argument(
        "--engines",
        help=f"comma-separated, or all; default: {','.join((*USUAL, *QUICK))}, on {ONE_LINE_ON} "
        f"also {ONE_LINE}",
        metavar="LIST",
    )
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    engines = chosen_engines(given.engines)
    folder = chosen_folder(given, quick=given.quick)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out: {folder} given, which is a file; allowed is a folder")
    if given.quick:
        seconds = QUICK_TIMING_SECONDS
        return Plan(QUICK_EXPERIMENTS, QUICK_EXPERIMENTS, engines, seconds, folder, given.best)
    return Plan(EXPERIMENTS, TRAINED, engines, TIMING_SECONDS, folder, given.best)


def chosen_engines(given: str | None) -> tuple[str, ...] | None:
    """The engines of the command line; None where it names none. Raises BadInput."""
    if given is None:
        return None
    return tuple(checked_engines(None if given == "all" else given.split(",")))


def compare(plan: Plan, narrator: Narrator) -> list[Trouble]:
    """Run the plan and write the guide; returns what went wrong on the way."""
    for engine in {engine for name in plan.experiments for engine in plan.engines_on(name)}:
        registry.require_framework(registry.find_engine(engine)[0])
    troubles: list[Trouble] = []
    for name in plan.experiments:
        troubles += run_experiment(name, plan, narrator)
    for name in plan.trained:
        for engine in TRAINING_ENGINES:
            troubles += run_training(name, engine, plan, narrator)
    guide.write_guide(plan.folder)
    findings = guide.find(load(plan.folder))
    narrator.heading("in short")
    narrator.say(f"Computing the same thing? {advice.same_thing(findings.parity)}")
    narrator.say(f"How fast? {advice.how_fast(findings.timing)}")
    return troubles


def run_experiment(name: str, plan: Plan, narrator: Narrator) -> list[Trouble]:
    """Cold starts, parity, rounds and warm starts of every engine; both results are stored.

    What the timed processes compile, certification and warm starts find compiled. An engine that
    does not pass has no part in the rounds.
    """
    narrator.heading(f"parity and timing: {name}")
    paths = {kind: fresh_file(plan.folder, kind, name) for kind in ("parity", "timing")}

    def on_progress(at: Progress) -> None:
        narrator.update(f"{at.phase} {at.engine or ''}".strip(), fraction=at.fraction)

    def on_report(report: ParityReport) -> None:
        for line in parity_lines(report):
            narrator.say(line)

    asked = {engine: plan.precisions_on(name, engine) for engine in plan.engines_on(name)}
    result = measure(
        Experiment.load(name),
        engines=tuple(asked),
        conditions=Conditions(seconds=plan.seconds, warm_start=True),
        certification={
            engine: Certification(precisions, LOCKED_STEPS, ladder="whole")
            for engine, precisions in asked.items()
        },
        on_progress=on_progress,
        on_report=on_report,
    )
    report = parity_of(result, asked)
    write_json(paths["timing"], result.to_json(), non_finite="refuse")
    write_json(paths["parity"], report.to_json())
    if result.interrupted:
        raise KeyboardInterrupt
    return parity_troubles(name, report) + timing_troubles(name, result, narrator)


def parity_of(result: TimingResult, wanted: Mapping[str, Sequence[Precision]]) -> ParityReport:
    """What parity says of every engine; where one could not be asked, its rungs are not run.

    `wanted`: what each engine was to be certified in.
    """
    asked = result.parity or ParityReport(result.experiment, result.environment, ())
    judged = {(rung.engine, rung.precision) for rung in asked.rungs}
    missing = [
        Rung(name, entry.engine, precision, "not run", None, None, entry.reason)
        for precision in PRECISIONS
        for entry in result.engines
        if precision in wanted[entry.engine] and (entry.engine, precision) not in judged
        for name, _ in LADDER
    ]
    return replace(asked, rungs=(*asked.rungs, *missing))


def parity_lines(report: ParityReport) -> list[str]:
    """`torch:eager   float32  16 certified, 2 explained` for each engine and precision."""
    pairs: dict[tuple[str, str], list[Rung]] = {}
    for rung in report.rungs:
        pairs.setdefault((rung.engine, rung.precision), []).append(rung)
    return [
        f"{engine:19} {precision:8} {count_verdicts(rungs)}"
        for (engine, precision), rungs in pairs.items()
    ]


def count_verdicts(rungs: Sequence[Rung]) -> str:
    """`16 certified, 2 explained`."""
    verdicts = [rung.verdict for rung in rungs]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))


def parity_troubles(name: str, report: ParityReport) -> list[Trouble]:
    """A sentence for each rung that diverges, the first of each engine not run, and the rest."""
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
    if not troubles and not report.passed:
        troubles.append(Trouble(f"{name}: {conclusion(report)}", EXIT_CODES[report.outcome]))
    return troubles


def timing_troubles(name: str, result: TimingResult, narrator: Narrator) -> list[Trouble]:
    """Say what was timed; a sentence for each engine that could not be."""
    troubles = []
    for entry in result.to_json()["engines"]:
        narrator.say(timing_line(entry))
        if entry["status"] != "measured":
            code = {"diverges": 1, "out of range": 2, "vacuous": 2}.get(entry["status"], 3)
            troubles.append(
                Trouble(f"not timed: {name}, {entry['engine']}: {entry['reason']}", code)
            )
    for warning in result.warnings:
        narrator.say(f"note: {warning}")
    return troubles


def timing_line(entry: dict[str, Any]) -> str:
    """`torch:eager   step 912 µs (905 µs to 920 µs), cold start 2.1 s, warm 1.9 s`."""
    if entry["status"] != "measured":
        return f"{entry['engine']:19} could not be measured: {entry['status']}: {entry['reason']}"
    step, warm = entry["step_s"], entry["warm_start_s"]
    again = "" if warm is None else f", warm {duration(warm)}"
    return (
        f"{entry['engine']:19} step {duration(step['median'])} "
        f"({interval(step['low'], step['high'])}), "
        f"cold start {duration(entry['cold_start_s'])}{again}"
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
        reason = "" if result.note is None else f" ({result.note})"
        return f"{result.outcome}, no test metric{reason}; {length}"
    score = result.score
    return (
        f"test {score.name} {score.value:.4f} (ignoring the inputs: {score.baseline:.4f}), {length}"
    )


def fresh_file(folder: Path, kind: str, *parts: str) -> Path:
    """Where a result will be stored; an earlier run's is removed, lest it pass for this."""
    path = folder / file_name(kind, *parts)
    remove_file(path)
    return path


def exit_code(troubles: list[Trouble]) -> int:
    """1 if anything diverges, else the largest code of all, else 0."""
    codes = {trouble.exit_code for trouble in troubles}
    return 1 if 1 in codes else max(codes, default=0)


if __name__ == "__main__":
    run_command(main)
