"""Forward in evaluation mode; then forward, loss, gradients and buffers in training mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, final

import numpy as np

from twofold.port.judge.batches import Outputs
from twofold.port.judge.findings import MANY, finding, not_exercised, rung_of
from twofold.port.judge.known import unbiased_variance
from twofold.port.judge.narrow import explained_by_casts
from twofold.port.judge.question import BUFFERS, GRADIENTS, OUTPUTS, Question
from twofold.port.judge.subject import Subject
from twofold.port.report import Finding, Narrowing, PortRung
from twofold.port.side import Mask, MasksDoNotFit, Want
from twofold.port.twins import generator
from twofold.port.weights import Link

TRAINING: frozenset[Want] = frozenset({"outputs", "loss", "gradients", "buffers"})


@final
class Forward:
    """The rungs of one forward pass in each mode. What later rungs need stays here."""

    def __init__(self, subject: Subject, twins: int) -> None:
        self.subject = subject
        self.twins = twins
        self.outputs: Outputs | None = None
        self.projections: tuple[Any, Any] = (None, None)
        self.masks: tuple[Mask, ...] = ()
        self.idle: set[str] = set()
        self.floors: dict[str, float] = {}
        self.narrowings: dict[Narrowing, int] = {}
        self._masks_note = ""

    def evaluation(self) -> PortRung:
        """Outputs in evaluation mode. Raises SideFailed and BadInput."""

        def ask(twin: int, **changes: Any) -> Any:
            return self.subject.calls("evaluation", {"outputs"}, twin=twin, **changes)

        with Question(self.subject, ask, self.twins) as question:
            found = question.point(0, OUTPUTS), question.point(1, OUTPUTS)
            outputs = Outputs(*found, self.subject.batches)
            self.outputs = outputs
            self.projections = _projections(found[0], outputs, self.subject.seed)
            rung = _rung("forward, evaluation", question, lambda: question.outputs(outputs))
            self.narrowings |= question.told.narrowings
            return explained_by_casts(rung, question, outputs, ask)

    def training(self) -> list[PortRung]:
        """Outputs, loss, gradients and buffers in training mode. Raises SideFailed."""
        self.masks = self._drawn()
        try:
            return self._training()
        except MasksDoNotFit as error:
            self.masks = ()
            self._masks_note = f"dropout keeps every unit: masks cannot be exchanged ({error})"
            return self._training()

    def _drawn(self) -> tuple[Mask, ...]:
        """The masks that the original's dropouts draw."""
        call, _ = self.subject.calls("training", {"outputs", "masks"})
        masks = self.subject.original.answer(replace(call, masks=None)).masks
        if masks:
            self._masks_note = f"{len(masks)} dropout masks of the original are used on both sides"
        return masks

    def ask(self, twin: int, **changes: Any) -> Any:
        """The calls of the training question."""
        return self.subject.calls(
            "training",
            set(TRAINING),
            twin=twin,
            projections=self.projections,
            masks=(self.masks, self.masks),
            **changes,
        )

    def _training(self) -> list[PortRung]:
        with Question(self.subject, self.ask, self.twins) as question:
            outputs = Outputs(question.point(0, OUTPUTS), question.point(1, OUTPUTS), self._batches)
            notes = [self._masks_note] if self._masks_note else []
            forward = _rung("forward, training", question, lambda: question.outputs(outputs), notes)
            rungs = [explained_by_casts(forward, question, outputs, self.ask)]
            kind = [] if self.subject.has_loss else ["of a fixed random projection of the outputs"]
            rungs.append(_rung("loss", question, question.loss, kind))
            rungs.append(self._gradients(question, kind))
            rungs.append(self._buffers(question))
            self.narrowings |= question.told.narrowings
            if rungs[0].verdict == "explained":
                rungs[1:] = [explained_by_casts(r, question, outputs, self.ask) for r in rungs[1:]]
            return rungs

    @property
    def _batches(self) -> Any:
        return self.subject.batches

    def _gradients(self, question: Question, notes: Iterable[str]) -> PortRung:
        links = self.subject.links_with(self.subject.trainable)
        largest = question.close_to(links, GRADIENTS)

        def every() -> list[Finding]:
            found = []
            for link, name, measured in question.tensors(GRADIENTS, links, lambda _: largest):
                self.floors[name] = measured.floor
                if measured.noise >= MANY:
                    self.idle.add(name)
                found.append(finding(name, ", ".join(link.port), measured))
            return found

        rung = _rung("gradients", question, every, notes)
        missing = _unjudged(links, rung)
        if not missing:
            return rung
        text = f"no gradient on one side, so not compared: {', '.join(missing[:4])}"
        return replace(rung, note="; ".join(filter(None, [rung.note, text])))

    def _buffers(self, question: Question) -> PortRung:
        links = self.subject.links_with(self.subject.is_buffer)
        if not links:
            return not_exercised("buffers", "no buffers that both sides have")

        def every() -> list[Finding]:
            return [
                finding(name, ", ".join(link.port), measured)
                for link, name, measured in question.tensors(BUFFERS, links)
            ]

        rung = _rung("buffers", question, every)
        return unbiased_variance(rung, question, links)


def _rung(
    name: str,
    question: Question,
    every: Callable[[], list[Finding]],
    notes: Iterable[str] = (),
) -> PortRung:
    """A rung of a question, with what the sides said, and with who answers twice differently."""
    findings = question.judged(every)
    told = list(question.told.notes) if name.startswith("forward") else []
    rung = rung_of(name, findings, notes=[*notes, *told])
    if rung.verdict in ("differs", "undecided"):
        fickle = question.fickle()
        if fickle:
            text = f"{' and '.join(fickle)} answers twice differently from the same numbers"
            return replace(
                rung, verdict="undecided", note="; ".join(filter(None, [text, rung.note]))
            )
    return rung


def _unjudged(links: Iterable[Link], rung: PortRung) -> list[str]:
    judged = {f.tensor for f in rung.findings}
    return [name for link in links for name in link.original if name not in judged]


def _projections(found: Any, outputs: Outputs, seed: int) -> tuple[Any, Any]:
    """A fixed random number for each element of each output, in both layouts."""
    original = {
        path: generator(seed, f"projection {path}").standard_normal(np.shape(value))
        for path, value in found.items()
        if value.dtype.kind == "f"
    }
    pairs = {a: b for a, b in outputs.pairs if a in original}
    return original, {b: outputs.turned(a, original[a]) for a, b in pairs.items()}
