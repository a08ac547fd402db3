"""The cause of a difference that no module shows alone: hypotheses tried on the whole pair."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Final

from twofold.errors import SideFailed
from twofold.port.causes.hypotheses import Hypothesis
from twofold.port.causes.hypothesis import Clues
from twofold.port.causes.kinds import KINDS, OF_GRADIENTS, OF_LEFT_OVER
from twofold.port.causes.look import Look
from twofold.port.causes.losses import any_factor, of_loss
from twofold.port.causes.optimizers import BEFORE_RATES, RULES
from twofold.port.causes.rates import cause_of_rates
from twofold.port.causes.several import several_settings
from twofold.port.causes.sites import Site
from twofold.port.causes.training import OWN_BACKWARD
from twofold.port.causes.trial import Cause, Trial, first_cause
from twofold.port.judge.forward_rungs import Forward
from twofold.port.judge.steps_rungs import Steps
from twofold.port.report import Finding, PortRung
from twofold.port.side import Want
from twofold.port.where.operations import LOSS

FINE: Final = ("same", "explained", "not exercised")
FAR: Final = 1e-8
"""Share of a loss by which another one is plainly not the same."""


def cause_of_loss(forward: Forward, constants: tuple[tuple[float, ...], ...]) -> Cause | None:
    """The cause of another loss from the same outputs."""
    changed, sites = _sites(forward, {"outputs", "loss", "gradients", "sites"})
    own = tuple(site for site in sites if site.module == LOSS)
    clues = Clues(own, constants[1 - changed] if constants else ())
    losses = _losses(forward, (0, 1))
    return first_cause(
        clues,
        _training(forward, changed, "loss"),
        1,
        changed,
        first=of_loss(clues, losses[changed], losses[1 - changed]),
        last=any_factor(losses[changed], losses[1 - changed]),
    )


def cause_of_gradients(forward: Forward) -> Cause | None:
    """The cause of other gradients of the same loss."""
    changed, sites = _sites(forward, {"outputs", "loss", "gradients", "sites"})
    trial = _training(forward, changed, "gradients")
    return first_cause(Clues(sites), trial, 1, changed, OF_GRADIENTS) or written_out(forward)


def written_out(forward: Forward) -> Cause | None:
    """Backwards written by hand, if their forward's derivatives make the gradients the same."""
    for changed in (0, 1):
        _, sites = _sites(forward, {"outputs", "loss", "gradients", "sites"}, (changed,))
        own = tuple(site for site in sites if "own backward" in site.settings)
        trial = _training(forward, changed, "gradients")
        cause = first_cause(Clues(own), trial, 1, changed, (OWN_BACKWARD,))
        if cause is not None:
            return cause
    return None


def cause_of_buffer(forward: Forward, found: Finding) -> Cause | None:
    """The cause of another buffer after a batch; the operations of its module are changed."""
    changed, sites = _sites(forward, {"outputs", "loss", "gradients", "sites"})
    module = (found.tensor, found.port)[changed].rpartition(".")[0]
    own = tuple(site for site in sites if site.module.partition("@")[0] == module)
    kinds = [kind for kind in KINDS if kind.name in ("momentum of a batch norm",)]
    trial = _training(forward, changed, "buffers", found.tensor)
    return first_cause(Clues(own, _momenta(forward, found)), trial, 1, changed, kinds)


def cause_of_left_over(forward: Forward) -> Cause | None:
    """The cause of weights without a partner, where the forward is the same without them."""
    subject = forward.subject
    sides = subject.original, subject.port
    names = (subject.weights.loose_original, subject.weights.loose_port)
    left = [{name: mask for name, mask in loose.items() if mask.any()} for loose in names]
    owners = {t.name: t.owner for side in sides for t in side.tensors()}
    clues = Clues(left_over=(left[0], left[1]), kinds=owners)

    def trial(hypothesis: Hypothesis, _runs: int) -> float | None:
        rung = like(forward, hypothesis, 0).evaluation()
        return rung.ratio if rung.verdict in FINE else None

    return first_cause(clues, trial, 1, 0, OF_LEFT_OVER)


def cause_of_step(forward: Forward, number: int, worst: Finding | None = None) -> Cause | None:
    """The cause of another step of the optimizer; `worst` is what is furthest apart after it."""
    changed, sites, constants = _optimizers(forward)
    with closing(Look(forward, number, changed, worst)) as look:

        def trial(hypothesis: Hypothesis, _runs: int) -> float | None:
            if not look.fits(hypothesis):
                return None
            rungs = Steps(like(forward, hypothesis, changed), number).rungs()
            return _worst(rungs) if rungs else None

        clues = Clues(sites, constants[1 - changed])
        found = first_cause(clues, trial, 1, changed, BEFORE_RATES)
        if found is None and sites:
            found = cause_of_rates(forward, changed)
        if found is None:
            found = first_cause(clues, trial, 1, changed, RULES)
        if found is None:
            found = first_cause(clues, trial, 1, changed, (), first=several_settings(clues))
        return found


def _optimizers(forward: Forward) -> tuple[int, tuple[Site, ...], list[tuple[float, ...]]]:
    """The side whose optimizer can be changed, that optimizer, and the constants of both sides."""
    subject = forward.subject
    sites: tuple[Site, ...] = ()
    changed = 0
    constants: list[tuple[float, ...]] = []
    calls = subject.calls(
        "training",
        {"loss", "gradients", "buffers", "sites"},
        projections=forward.projections,
        masks=(forward.masks, forward.masks),
    )
    for side, asked in enumerate((subject.original, subject.port)):
        answer = asked.stepper().step(calls[side])
        constants.append(answer.constants)
        if answer.sites and not sites:
            changed, sites = side, answer.sites
    return changed, sites, constants


def like(forward: Forward, hypothesis: Hypothesis, changed: int) -> Forward:
    """The rungs of the same pair with a hypothesis; masks and projections stay."""
    other = Forward(forward.subject.with_hypothesis(hypothesis, changed), forward.twins)
    other.outputs = forward.outputs
    other.projections = forward.projections
    other.masks = forward.masks
    other.idle = set(forward.idle)
    other.floors = dict(forward.floors)
    return other


def _sites(
    forward: Forward, want: set[Want], places: tuple[int, ...] = (0, 1)
) -> tuple[int, tuple[Site, ...]]:
    """The first of some sides whose operations can be changed, and all of them."""
    subject = forward.subject
    calls = subject.calls(
        "training", want, projections=forward.projections, masks=(forward.masks, forward.masks)
    )
    for side in places:
        asked = (subject.original, subject.port)[side]
        try:
            answer = asked.answer(calls[side])
        except SideFailed:  # a side that changes nothing below gradients
            continue
        if answer.sites:
            return side, answer.sites
    return 0, ()


def _training(forward: Forward, changed: int, rung: str, tensor: str = "") -> Trial:
    """The ratio of a rung in training mode, or of one tensor of it.

    A loss that is far from the other side's needs no second look.
    """
    point = _losses(forward, (0, 1)) if rung == "loss" else []

    def trial(hypothesis: Hypothesis, _runs: int) -> float | None:
        other = like(forward, hypothesis, changed)
        if point:
            loss = _losses(other, (changed,))[0]
            meant = point[1 - changed]
            if not abs(loss - meant) <= FAR * max(abs(loss), abs(meant)):
                return None
        rungs = other.training()
        found = next(each for each in rungs if each.rung == rung)
        if rung == "loss":  # a number alone is no trial: the gradients must follow it
            return _worst([found, next(each for each in rungs if each.rung == "gradients")])
        if not tensor:
            return _worst([found])
        finding = next(each for each in found.findings if each.tensor == tensor)
        return (finding.ratio or 0.0) if finding.verdict in FINE else None

    return trial


def _losses(forward: Forward, sides: Iterable[int]) -> list[float]:
    """The losses of some sides at the point."""
    subject = forward.subject
    both = subject.original, subject.port
    calls = forward.ask(0)
    answers = [both[side].answer(calls[side]) for side in sides]
    return [float("nan") if a.loss is None else float(a.loss) for a in answers]


def _worst(rungs: Iterable[PortRung]) -> float | None:
    """The largest ratio of rungs that are all fine; what is explained counts as nothing."""
    every = list(rungs)
    if any(rung.verdict not in FINE for rung in every):
        return None
    ratios = [f.ratio for r in every for f in r.findings if f.verdict == "same" and f.ratio]
    return max(ratios, default=0.0)


def _momenta(forward: Forward, found: Finding) -> tuple[float, ...]:
    """The momentum of the port's own module, as one of the numbers to try."""
    module = found.port.partition(",")[0].rpartition(".")[0]
    for each in forward.subject.port.modules():
        value = each.attributes.get("momentum")
        if each.name == module and isinstance(value, float):
            return (value,)
    return ()
