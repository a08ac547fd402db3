"""`twofold doctor --check`: one certified training step in each engine, in a process of its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from twofold.backends.installed import backend_of
from twofold.engines import registry
from twofold.errors import BadInput, EngineFailed
from twofold.parity.assertions import rung_story
from twofold.parity.judging.verdict import EXIT_CODES, ParityReport, conclusion
from twofold.results.environment import usable_cpus
from twofold.spec.experiment import Device, Experiment
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Certification, Limits

State = Literal["certified", "explained", "diverges", "not shown", "not here", "broke"]
STYLES: Final[dict[State, str]] = {
    "certified": "green",
    "explained": "yellow",
    "diverges": "bold red",
    "not shown": "magenta",
    "not here": "dim",
    "broke": "red",
}
ONE_STEP: Final = Certification(steps=1, ladder="one step")


@dataclass(frozen=True)
class Checked:
    """What happened in one engine; `exit_code` is its part of the command's answer.

    `seconds`: from the start of the process to its answer. `report`: None where the engine is not
    here, or broke.
    """

    engine: str
    state: State
    reason: str
    seconds: float
    exit_code: int
    report: ParityReport | None = None


def experiment(device: Device) -> Experiment:
    """The network of the lesson on 512 rows: dropout, AdamW, float32. It needs no extra package."""
    return Experiment.load("lesson").with_values(data__rows=512, device=device)


def check(
    engines: Sequence[str],
    device: Device,
    limit_s: float,
    start: Callable[[str, str, Sequence[int], Limits], ProcessWorker] | None = None,
) -> Iterator[Checked]:
    """Take the step in one engine after the other, each in a process of its own.

    An engine that does not answer for `limit_s` seconds is ended. `start` makes the process.
    """
    text = experiment(device).model_dump_json()
    for engine in engines:
        began = time.monotonic()
        limits = Limits(parity_s=limit_s)
        worker = (start or _worker)(engine, text, usable_cpus(), limits)
        with closing(worker):
            yield _checked(worker, began)


def _worker(engine: str, text: str, cpus: Sequence[int], limits: Limits) -> ProcessWorker:
    return ProcessWorker(engine, text, cpus, limits=limits)


def _checked(worker: ProcessWorker, began: float) -> Checked:
    engine = worker.engine
    try:
        registry.require_framework(registry.find_engine(engine)[0])
        report = worker.certify(ONE_STEP)
    except EngineFailed as error:
        return Checked(engine, "broke", str(error), time.monotonic() - began, error.exit_code)
    except BadInput as error:  # the framework or the device is not here
        return Checked(engine, "not here", str(error), time.monotonic() - began, 0)
    state, reason = _state_of(report)
    seconds = time.monotonic() - began
    return Checked(engine, state, reason, seconds, EXIT_CODES[report.outcome], report)


def _state_of(report: ParityReport) -> tuple[State, str]:
    """A report in a word, with the reason unless every rung is certified."""
    if report.outcome == "could not be judged":
        return "broke", next(rung.note for rung in report.rungs if rung.verdict == "not run")
    if report.outcome == "does not hold":
        return "diverges", "the oracle says otherwise; see below"
    if report.outcome != "holds":
        return "not shown", conclusion(report)
    causes = [rung.explanation.cause for rung in report.rungs if rung.explanation]
    return ("explained", "; ".join(dict.fromkeys(causes))) if causes else ("certified", "")


def answer(found: Sequence[Checked]) -> int:
    """The exit code: 1 if an engine diverges, else 3 if one broke, else 0.

    Raises BadInput if no engine can run here: then nothing was checked.
    """
    if all(each.state == "not here" for each in found):
        raise BadInput("nothing was checked: none of these engines can run here")
    codes = {each.exit_code for each in found}
    return 1 if 1 in codes else max(codes)


def print_heading(device: Device, console: Console) -> None:
    """What is going to be done."""
    used = experiment(device)
    console.print("[bold]One certified training step in each engine[/]")
    console.print(
        f"[dim]the network of {used.name}, {used.precision}, device {device}: forward, loss, "
        "gradients, update[/]"
    )


def print_checked(each: Checked, width: int, console: Console) -> None:
    """A row for one engine, as soon as it is known; `width`: of the longest engine's name."""
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=width, no_wrap=True)
    row.add_column(width=max(map(len, STYLES)), no_wrap=True)
    row.add_column(overflow="fold")
    where = _device(each)
    seconds = f"{each.seconds:.1f} s" if each.state != "not here" else ""
    parts = (where, seconds, each.reason)
    words = "; ".join(part for part in parts if part)
    row.add_row(Text(each.engine), Text(each.state, style=STYLES[each.state]), Text(words))
    console.print(row)


def print_end(found: Sequence[Checked], console: Console) -> None:
    """Versions of the backends that answered, every failing rung in full, and the count."""
    console.print()
    for name, versions in _versions(found).items():
        console.print(escape(f"{name}: {versions}"))
    for each in found:
        if each.report is not None and each.state == "diverges":
            for rung in each.report.rungs:
                if not rung.passed:
                    console.print(escape("\n".join(rung_story(rung))), soft_wrap=True)
    states = Counter(each.state for each in found)
    counts = ", ".join(f"{states[state]} {state}" for state in STYLES if states[state])
    console.print(f"{len(found)} engine{'s' if len(found) > 1 else ''}: {counts}")


def _device(each: Checked) -> str:
    """The device that the engine used, as the backend describes it; "" where it said nothing."""
    if each.report is None:
        return ""
    said = _said(each.report)
    asked = each.report.experiment.device
    own = registry.find_engine(each.engine)[1].device
    name = own or (said["default_device"] if asked == "auto" else asked)
    return str(next((one for one in said["devices"] if one.partition(":")[0] == name), name))


def _versions(found: Sequence[Checked]) -> dict[str, str]:
    known: dict[str, str] = {}
    for each in found:
        if each.report is not None:
            versions = _said(each.report)["versions"]
            words = ", ".join(f"{package} {version}" for package, version in versions.items())
            known[backend_of(each.engine)] = words
    return known


def _said(report: ParityReport) -> dict[str, Any]:
    """What the one backend of a report says of itself."""
    (said,) = report.environment["backends"].values()
    return dict(said)
