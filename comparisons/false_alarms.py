"""Does the ladder ever cry wolf? Random correct experiments, every one of which must pass.

    python -m comparisons.false_alarms --seeds 0:1000 --engines torch:eager --precision float32
    python -m comparisons.false_alarms --seeds 0:50 --engines flax:jit --variations 20
    python -m comparisons.false_alarms --table

The first form climbs the ladder for the experiments of a range of seeds (see
`comparisons.evidence.random_problems`) and stores what it saw after every problem, a file for each
engine, precision, draws and first seed; started again it goes on where it was stopped. Every
`--whole`-th seed climbs to the last rung, export and import, the others to the evaluation metric.
With `--variations` each experiment is followed by others that differ in their numbers alone,
through the same compiled programs, on the rungs from the forward pass to the update and on
multi-step execution. The last form writes all stored files as one page. Exit codes: 0 no alarm, 1
an alarm, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

from comparisons.evidence.false_alarm_page import page
from comparisons.evidence.false_alarm_tally import FOLDER, Tally
from comparisons.evidence.random_problems import Draws, RandomCase, draw
from comparisons.folders import RUNS, add_folder_options, processor_slug
from twofold.commands import INTERRUPTED, run_command
from twofold.engines.registry import find_engine, open_session
from twofold.errors import TwofoldError
from twofold.files import write_text
from twofold.parity.certify import climb
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.multistep import multi_step_rung_from
from twofold.parity.ladder.reference import Moment
from twofold.parity.ladder.rungs import (
    LADDER,
    WITHOUT_EXPORT,
    forward_rung,
    fresh_step_rungs,
    gradients_rung,
    loss_rung,
)
from twofold.spec.experiment import Precision
from twofold.temporary import temporary_folder

PAGE: Final = Path("comparisons") / "FALSE_ALARMS.md"
LOCKED_STEPS: Final = 3
WHOLE_EVERY: Final = 10
TELL_EVERY: Final = 10
FORGET_EVERY: Final = 25  # programs compiled for shapes that never come back


@dataclass(frozen=True)
class Search:
    """How to search: see this module's own description."""

    folder: Path
    minutes: float | None = None
    variations: int = 0
    whole_every: int = WHOLE_EVERY


def main(arguments: list[str] | None = None) -> int:
    """Run or tabulate; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.table:
        write_text(PAGE, page(options.out or FOLDER))
        return 0
    tallies_of_all = FOLDER if options.store else RUNS / FOLDER.name
    options.out = options.out or tallies_of_all / processor_slug()
    first, end = _seed_range(parser, options.seeds)
    if options.whole < 1:
        parser.error(f"--whole: {options.whole} given; allowed is 1 or more")
    if options.variations < 0:
        parser.error(f"--variations: {options.variations} given; allowed is 0 or more")
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        for name in options.engines.split(","):
            find_engine(name)
        tallies = [
            Tally(name, options.precision, first, end, options.draws).taken_up(options.out)
            for name in options.engines.split(",")
        ]
    except TwofoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    try:
        search(tallies, Search(options.out, options.minutes, options.variations, options.whole))
    except KeyboardInterrupt:
        print("interrupted; every finished problem is stored, run again to go on", file=sys.stderr)
        return INTERRUPTED
    return 1 if any(tally.alarms or tally.failed_to_run() for tally in tallies) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m comparisons.false_alarms")
    parser.add_argument("--seeds", help="a range A:B, B not included", default="0:20")
    parser.add_argument("--engines", help="comma-separated", default="torch:eager,flax:jit")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--draws", choices=get_args(Draws), default="wide")
    parser.add_argument("--variations", type=int, help="of each experiment", default=0)
    parser.add_argument(
        "--whole", type=int, help="every so many seeds the whole ladder", default=WHOLE_EVERY
    )
    parser.add_argument("--minutes", type=float, help="stop after so many", default=None)
    add_folder_options(parser)
    parser.add_argument("--table", action="store_true", help=f"write {PAGE} from stored results")
    return parser


def _seed_range(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    if not (first.isdigit() and end.isdigit() and int(first) < int(end)):
        parser.error(f"--seeds: {text!r} given; allowed is A:B with whole numbers A < B")
    return int(first), int(end)


def search(tallies: list[Tally], how: Search) -> None:
    """Climb with every engine for every seed that it lacks; stores as it goes."""
    with _programs_of_flax([tally.engine for tally in tallies]) as programs:
        _search(tallies, how, programs)


def _search(tallies: list[Tally], how: Search, programs: Path | None) -> None:
    start = time.monotonic()
    for seed in range(min(tally.next_seed for tally in tallies), tallies[0].end_seed):
        case = draw(seed, tallies[0].precision, draws=tallies[0].draws)
        reference = case.reference()
        whole = seed % how.whole_every == 0
        for tally in (tally for tally in tallies if tally.next_seed == seed):
            ladder = LADDER if whole else WITHOUT_EXPORT
            rungs = climb(tally.engine, reference, steps=LOCKED_STEPS, ladder=ladder)
            tally.add(case, rungs)
            tally.whole += whole
            _tell_alarms(tally, seed, rungs)
            if how.variations:
                _vary(tally, case, how.variations)
            tally.store(how.folder)
        if seed % FORGET_EVERY == FORGET_EVERY - 1:
            _forget_compiled(programs)
        over = how.minutes is not None and time.monotonic() - start > 60 * how.minutes
        if over or seed == tallies[0].end_seed - 1 or seed % TELL_EVERY == TELL_EVERY - 1:
            print(f"seed {seed}: {time.monotonic() - start:.0f} s", flush=True)
        if over:
            return


def _vary(tally: Tally, case: RandomCase, variations: int) -> None:
    """The same session, asked about other numbers."""
    session = open_session(case.problem, tally.engine)
    owner, _ = find_engine(tally.engine)
    for number in range(1, variations + 1):
        subject = Subject(session, owner, case.variation(number))
        rungs = [judge(subject) for judge in (forward_rung, loss_rung, gradients_rung)]
        rungs += step_rungs(subject, subject.reference.fresh)
        rungs += step_rungs(subject, subject.reference.warm)
        rungs.append(_several_steps(subject, case))
        tally.add(case, rungs, number)
        _tell_alarms(tally, case.seed, rungs)


def _several_steps(subject: Subject, case: RandomCase) -> Rung:
    """Steps in one call from a variation's state: through the session's own rows, not its batch."""
    own_rows = replace(subject.reference, problem=case.problem)
    state = subject.reference.warm.state
    return multi_step_rung_from(replace(subject, reference=own_rows), [state])


def step_rungs(subject: Subject, moment: Moment) -> tuple[Rung, ...]:
    """Slots and update after a step on a moment's own batch."""
    subject = replace(subject, reference=replace(subject.reference, fresh=moment))
    return fresh_step_rungs(subject)


def _tell_alarms(tally: Tally, seed: int, rungs: list[Rung]) -> None:
    for rung in rungs:
        if rung.verdict == "diverges" or "engine failed" in rung.note:
            print(f"ALARM {tally.engine} seed {seed} {rung.rung}: {rung.note}", flush=True)
            print(f"  ratio {rung.worst_ratio}, {rung.worst}", flush=True)


@contextmanager
def _programs_of_flax(engines: list[str]) -> Iterator[Path | None]:
    """A folder where JAX keeps compiled programs while this lasts; None without an engine of Flax.

    The engines of a seed, and each session that opens its problem again, have programs in common.
    """
    if all(find_engine(engine)[0].name != "flax" for engine in engines):
        yield None
        return
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    with temporary_folder() as folder:
        options = {
            "jax_compilation_cache_dir": str(folder),
            "jax_persistent_cache_min_compile_time_secs": 0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        before = {name: getattr(jax.config, name) for name in options}
        try:
            for name, value in options.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()  # JAX looks once in a process whether there is a folder
            yield folder
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()


def _forget_compiled(programs: Path | None) -> None:
    """Let go of compiled programs, which would otherwise fill the memory and the folder."""
    for program in programs.iterdir() if programs is not None else ():
        program.unlink()
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
    gc.collect()


if __name__ == "__main__":
    run_command(main)
