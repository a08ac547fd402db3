"""The gate: an engine is timed only if it computes what the oracle says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from twofold.backends.installed import backend_of
from twofold.errors import BadInput, EngineFailed
from twofold.parity.judging.verdict import Outcome, ParityReport, conclusion
from twofold.timing.harness import Status
from twofold.timing.protocol import OnProgress, Progress
from twofold.timing.result import EngineTiming


class Certifier(Protocol):
    """Something that can climb the parity ladder with one engine, in a process of its own."""

    @property
    def engine(self) -> str:
        """The engine's name."""

    def certify(self) -> ParityReport:
        """What parity says of the engine; raises as an `EngineWorker` does."""

    def close(self) -> None:
        """End the process."""


@dataclass(frozen=True)
class Gate:
    """The engines that may be timed, and the entries of those that may not.

    `report`: what parity says of all of them; None where it was not asked, or could not be judged.
    """

    passed: tuple[str, ...]
    refused: tuple[EngineTiming, ...]
    report: ParityReport | None = None


OnReport = Callable[[ParityReport], None]


def open_gate(
    certifiers: Sequence[Certifier],
    on_progress: OnProgress,
    *,
    at_once: int = 1,
    seconds: Mapping[str, float] = MappingProxyType({}),
    on_report: OnReport = lambda _: None,
) -> Gate:
    """Certify each engine, those of a backend one after the other.

    Several certifiers may be of one engine, each with a part of what is asked of it. Up to
    `at_once` backends go side by side: nothing is timed meanwhile, so they may share the
    processors. Engines of one backend have programs in common, which the next one may find in
    their compile cache; a lane that has none left takes the next one of the longest other.
    `seconds`: how long each engine took to start; those of a backend go longest first, so that no
    long one is left when the other lanes are done.
    `on_report` is called with each report as soon as it is there. Ctrl-C ends all processes.
    """
    answers: dict[int, ParityReport | EngineTiming] = {}
    lanes = [
        deque(sorted(lane, key=lambda index: -seconds.get(certifiers[index].engine, 0.0)))
        for lane in _lanes(certifiers, at_once)
    ]
    running: dict[Future[ParityReport | EngineTiming], tuple[int, int]] = {}

    def begin(lane: int) -> None:
        index = _next_for(lanes, lane)
        if index is not None:
            running[pool.submit(_answer, certifiers[index])] = lane, index

    def tell() -> None:
        at_work = [certifiers[index].engine for _, index in sorted(running.values())]
        if at_work:
            words = ", ".join(dict.fromkeys(at_work))
            on_progress(Progress("parity", words, len(answers) / len(certifiers)))

    with ThreadPoolExecutor(max(1, len(lanes))) as pool:
        try:
            for lane in range(len(lanes)):
                begin(lane)
            tell()
            while running:
                for answered in wait(running, return_when=FIRST_COMPLETED).done:
                    lane, index = running.pop(answered)
                    answer = answers[index] = answered.result()
                    begin(lane)
                    if isinstance(answer, ParityReport):
                        on_report(answer)
                tell()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for certifier in certifiers:
                certifier.close()  # what waits for an answer of its process goes on
            raise
    return _gate(certifiers, [answers[index] for index in range(len(certifiers))])


def _gate(certifiers: Sequence[Certifier], answers: Sequence[ParityReport | EngineTiming]) -> Gate:
    names = list(dict.fromkeys(certifier.engine for certifier in certifiers))
    report = together([answer for answer in answers if isinstance(answer, ParityReport)])
    broken = {answer.engine: answer for answer in answers if isinstance(answer, EngineTiming)}
    refusals = {name: broken.get(name) or _refusal(name, report) for name in names}
    return Gate(
        tuple(name for name in names if refusals[name] is None),
        tuple(entry for entry in refusals.values() if entry is not None),
        report,
    )


def together(reports: Sequence[ParityReport]) -> ParityReport | None:
    """Reports on one experiment as one, in the order of their precisions; None where none is."""
    if not reports:
        return None
    surroundings = dict(reports[0].environment)
    if "backends" in surroundings:
        parts = [report.environment["backends"] for report in reports]
        surroundings["backends"] = {name: said for part in parts for name, said in part.items()}
    rungs = [rung for report in reports for rung in report.rungs]
    precisions = list(dict.fromkeys(rung.precision for rung in rungs))
    rungs.sort(key=lambda rung: precisions.index(rung.precision))
    unshown = dict.fromkeys(said for report in reports for said in report.not_exercised)
    return ParityReport(reports[0].experiment, surroundings, tuple(rungs), tuple(unshown))


def _next_for(lanes: Sequence[deque[int]], lane: int) -> int | None:
    """The next of a lane, else of the longest; None where nobody waits."""
    own, longest = lanes[lane], max(lanes, key=len)
    if own:
        return own.popleft()
    return longest.popleft() if longest else None


def _lanes(certifiers: Sequence[Certifier], at_once: int) -> list[list[int]]:
    """What goes one after the other: the engines of a backend, or of several if need be."""
    backends = list(dict.fromkeys(backend_of(each.engine) for each in certifiers))
    lanes: list[list[int]] = [[] for _ in range(min(at_once, len(backends)))]
    for index, certifier in enumerate(certifiers):
        lanes[backends.index(backend_of(certifier.engine)) % len(lanes)].append(index)
    return lanes


STATUSES: Final[dict[Outcome, Status]] = {
    "does not hold": "diverges",
    "could not be judged": "failed",
    "out of range": "out of range",
    "vacuous": "vacuous",
}


def status_of(report: ParityReport) -> Status:
    """What the engine of a report is; `measured`, as it may be, where parity holds."""
    return STATUSES.get(report.outcome, "measured")


def reason_against(report: ParityReport) -> str:
    """Why the engine of a report is not timed, in a sentence; empty if parity holds."""
    if not report.rungs:
        return "parity: no rung was judged"
    for verdict in ("diverges", "not run"):
        for rung in report.rungs:
            if rung.verdict == verdict:
                return f"parity {rung.verdict} at {rung.rung}: {rung.note}"
    return "" if report.passed else conclusion(report)


def _answer(certifier: Certifier) -> ParityReport | EngineTiming:
    """What parity says of an engine, or the entry that says why it says nothing."""
    engine = certifier.engine
    try:
        return certifier.certify()
    except EngineFailed as error:
        return EngineTiming(engine, "failed", f"parity could not be judged: {error}")
    except BadInput as error:
        return EngineTiming(engine, "unavailable", str(error))
    finally:
        certifier.close()


def _refusal(engine: str, report: ParityReport | None) -> EngineTiming | None:
    """Why an engine may not be timed in the experiment's own precision; None if it may."""
    assert report is not None  # an engine without an error has its rungs in it
    own = report.of_engine(engine, report.experiment.precision)
    return None if own.passed else EngineTiming(engine, status_of(own), reason_against(own))
