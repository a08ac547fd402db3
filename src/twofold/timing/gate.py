"""The gate: an engine is timed only if it computes what the oracle says."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from twofold.engines.registry import backend_of
from twofold.errors import BadInput, EngineFailed
from twofold.parity.judging.verdict import ParityReport
from twofold.spec.experiment import Experiment
from twofold.timing.harness import Status
from twofold.timing.protocol import OnProgress, Progress
from twofold.timing.result import EngineTiming


class Certifier(Protocol):
    """Something that can climb the parity ladder with one engine, in a process of its own."""

    @property
    def engine(self) -> str:
        """The engine's name."""

    def certify(self) -> Mapping[str, Any]:
        """`passed`, and if not, `status` and `reason`; raises as an `EngineWorker` does."""

    def close(self) -> None:
        """End the process."""


@dataclass(frozen=True)
class Gate:
    """The engines that may be timed, and the entries of those that may not."""

    passed: tuple[str, ...]
    refused: tuple[EngineTiming, ...]


def open_gate(
    certifiers: Sequence[Certifier], on_progress: OnProgress, *, at_once: int = 1
) -> Gate:
    """Certify each engine, those of a backend one after the other.

    Up to `at_once` backends go side by side: nothing is timed yet, so they may share the
    processors. Engines of one backend have programs in common, which the next one may find in
    their compile cache; a lane that has no engine left takes the last one of the longest other.
    Ctrl-C ends all processes.
    """
    refusals: dict[str, EngineTiming | None] = {}
    names = [certifier.engine for certifier in certifiers]
    lanes = [deque(lane) for lane in _lanes(certifiers, at_once)]
    running: dict[Future[EngineTiming | None], tuple[int, str]] = {}

    def begin(lane: int) -> None:
        certifier = _next_for(lanes, lane)
        if certifier is not None:
            running[pool.submit(_refusal, certifier)] = lane, certifier.engine

    def tell() -> None:
        at_work = ", ".join(engine for _, engine in sorted(running.values()))
        if at_work:
            on_progress(Progress("parity", at_work, len(refusals) / len(names)))

    with ThreadPoolExecutor(max(1, len(lanes))) as pool:
        try:
            for lane in range(len(lanes)):
                begin(lane)
            tell()
            while running:
                for answered in wait(running, return_when=FIRST_COMPLETED).done:
                    lane, engine = running.pop(answered)
                    refusals[engine] = answered.result()
                    begin(lane)
                tell()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for certifier in certifiers:
                certifier.close()  # what waits for an answer of its process goes on
            raise
    refused = [entry for name in names if (entry := refusals[name]) is not None]
    return Gate(tuple(name for name in names if refusals[name] is None), tuple(refused))


def _next_for(lanes: Sequence[deque[Certifier]], lane: int) -> Certifier | None:
    """The next of a lane, else the last of the longest; None where nobody waits."""
    own, longest = lanes[lane], max(lanes, key=len)
    if own:
        return own.popleft()
    return longest.pop() if longest else None


def _lanes(certifiers: Sequence[Certifier], at_once: int) -> list[list[Certifier]]:
    """What goes one after the other: the engines of a backend, or of several if need be."""
    backends = list(dict.fromkeys(backend_of(each.engine) for each in certifiers))
    lanes: list[list[Certifier]] = [[] for _ in range(min(at_once, len(backends)))]
    for certifier in certifiers:
        lanes[backends.index(backend_of(certifier.engine)) % len(lanes)].append(certifier)
    return lanes


def gate_of_report(report: ParityReport, experiment: Experiment, engines: Sequence[str]) -> Gate:
    """The gate that a report opens which is at hand already. Raises BadInput for another spec."""
    if report.experiment != experiment:
        raise BadInput(
            f"parity: a report on {report.experiment.name!r} given; allowed is one on the very "
            f"experiment that is timed, {experiment.name!r}"
        )
    passed: list[str] = []
    refused: list[EngineTiming] = []
    for engine in engines:
        rungs = tuple(
            rung
            for rung in report.rungs
            if rung.engine == engine and rung.precision == experiment.precision
        )
        own = ParityReport(experiment, report.environment, rungs)
        if own.engine_passed(engine):
            passed.append(engine)
        else:
            refused.append(EngineTiming(engine, status_of(own), reason_against(own, engine)))
    return Gate(tuple(passed), tuple(refused))


def status_of(report: ParityReport) -> Status:
    """What an engine that did not pass is: `diverges`, or `failed` if it could not be judged."""
    return "diverges" if any(rung.verdict == "diverges" for rung in report.rungs) else "failed"


def reason_against(report: ParityReport, engine: str) -> str:
    """The first rung that an engine did not pass, in a sentence; empty if it passed all."""
    own = [rung for rung in report.rungs if rung.engine == engine]
    if not own:
        return "parity: no rung was judged"
    for verdict in ("diverges", "not run"):
        for rung in own:
            if rung.verdict == verdict:
                return f"parity {rung.verdict} at {rung.rung}: {rung.note}"
    return ""


def _refusal(certifier: Certifier) -> EngineTiming | None:
    """Why an engine may not be timed; None if it may."""
    engine = certifier.engine
    try:
        answer = certifier.certify()
    except EngineFailed as error:
        return EngineTiming(engine, "failed", f"parity could not be judged: {error}")
    except BadInput as error:
        return EngineTiming(engine, "unavailable", str(error))
    finally:
        certifier.close()
    if answer["passed"]:
        return None
    return EngineTiming(engine, answer["status"], answer["reason"])
