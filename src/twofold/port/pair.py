"""`Pair`: an original and its port, judged together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, final

from twofold.backends.installed import packages
from twofold.errors import BadInput, ParityDiverges, SideFailed
from twofold.port.judge.backwards import with_derivatives
from twofold.port.judge.batches import Batches
from twofold.port.judge.constants import with_shared_constants
from twofold.port.judge.first import first_difference
from twofold.port.judge.forward_rungs import Forward
from twofold.port.judge.mapping import find_weights
from twofold.port.judge.precision_rungs import precision_rungs
from twofold.port.judge.steps_rungs import Steps
from twofold.port.judge.subject import Subject
from twofold.port.judge.weights_rungs import TIED_IN_PORT, state_rung, weights_rung
from twofold.port.report import PortReport, PortRung
from twofold.port.side import Precision, Side
from twofold.port.sides import side_of
from twofold.port.twins import TWINS
from twofold.port.weights import Weights

OTHERS: Final = ("numpy", "transformers")

OF_PAIR: Final = ("layouts", "weights", "part", "seed")

OnRung = Callable[[PortRung], None]


class PortAssertion(ParityDiverges, AssertionError):
    """What `assert_same` raises; its message is the story of every rung that is not the same."""


@final
class Pair:
    """The original, then the port: any two sides, of two frameworks or of one.

    `batches` are what a step takes: tuples or mappings of NumPy arrays, as the original takes them.
    `layouts` says which arrays the port takes in another order of axes: by position or name in the
    batch, and "output" (or "output.logits") for what the models return. `weights` is "auto", a
    TOML file, or a mapping of the original's names to the port's for those that are not to be
    found. `inputs` are the keys or positions of the batch that the models take; without them the
    models' own signatures say.
    `part` judges modules instead of the models: {"encoder.0": "blocks.0"}; the batches are then
    the inputs of these modules. "" stands for a side that is that part already. Raises BadInput.
    """

    def __init__(
        self,
        original: Any,
        port: Any,
        *,
        batches: Sequence[Any],
        layouts: Mapping[int | str, str] | None = None,
        weights: str | Path | Mapping[str, Any] = "auto",
        inputs: Sequence[int | str] | None = None,
        part: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        a, b = side_of(original, "original"), side_of(port, "port")
        if part is not None:
            a, b = _parts(a, b, part)
        self.original: Side = a
        self.port: Side = b
        self.seed = seed
        self._batches = Batches(list(batches), layouts or {}, seed)
        self._given = weights
        self._inputs = inputs
        _require_alike(a, b)

    @cached_property
    def weights(self) -> Weights:
        """Which weight is which; found at the first use. Raises BadInput and SideFailed."""
        try:
            return find_weights(
                self.original, self.port, self._batches, self._inputs, self._given, self.seed
            )
        except SideFailed as error:
            raise SideFailed(f"{error}{self._batches.proposal()}") from error

    def certify(
        self,
        steps: int = 3,
        *,
        twins: int = TWINS,
        gradients: bool = True,
        precisions: Sequence[Precision] = ("float32",),
        on_rung: Callable[[PortRung], None] | None = None,
    ) -> PortReport:
        """Climb every rung and report. The models are afterwards as they were before.

        `steps` optimizer steps are judged where both sides have an optimizer. Without `gradients`
        only the forward in evaluation mode is. Raises BadInput and SideFailed.
        """
        if twins < 1:
            raise BadInput(f"twins: {twins} given; allowed is 1 or more")
        forward = Forward(self._subject(), twins)
        rungs: list[PortRung] = []

        def done(several: Sequence[PortRung]) -> None:
            for rung in several:
                rungs.append(rung)
                if on_rung is not None:
                    on_rung(rung)

        done([weights_rung(forward.subject)])
        if all(found.note != TIED_IN_PORT for found in rungs[0].findings):
            forward = self._climb(
                forward, steps, gradients=gradients, precisions=precisions, done=done
            )
        return PortReport(
            original=self.original.label,
            port=self.port.label,
            rungs=tuple(rungs),
            first_difference=first_difference(forward, rungs),
            narrowings=tuple(forward.narrowings),
            twins=twins,
            seed=self.seed,
            environment=_environment(),
        )

    def _climb(
        self,
        forward: Forward,
        steps: int,
        *,
        gradients: bool,
        precisions: Sequence[Precision],
        done: Callable[[Sequence[PortRung]], None],
    ) -> Forward:
        """The rungs above the weights. Raises BadInput and SideFailed.

        Gives the forward with which they were judged: that with the same tables on both sides,
        where roundings of constants would hide everything else.
        """
        done([state_rung(forward.subject)])
        written, shared = forward, None
        if not self.original.only_steps:
            try:
                rung = forward.evaluation()
            except SideFailed as error:
                raise SideFailed(f"{error}{self._batches.proposal()}") from error
            forward, shared, rung = with_shared_constants(forward, rung)
            done([rung])

        def tell(several: Sequence[PortRung]) -> None:
            done(several if shared is None else [shared.explained(each) for each in several])

        backward = None
        if gradients and not self.original.only_steps:
            names = "forward, training", "loss", "gradients", "buffers"
            rungs, backward = with_derivatives(forward, _attempted(names, forward.training))
            tell(rungs)
        if gradients and steps > 0:
            several = _attempted(("steps",), Steps(forward, steps).rungs)
            if backward is not None:
                others = _attempted(("steps",), Steps(backward.forward, steps).rungs)
                if len(others) == len(several):  # fewer where they could not be run
                    pairs = zip(several, others, strict=True)
                    several = [backward.explained(written, other) for written, other in pairs]
            tell(several)
        for precision in () if self.original.only_steps else precisions:
            done(_attempted((precision,), partial(precision_rungs, written, precision)))
        return forward

    def _subject(self) -> Subject:
        return Subject(
            self.original,
            self.port,
            self._batches,
            self.weights,
            inputs=self._inputs,
            seed=self.seed,
        )


def certify(
    original: Any,
    port: Any,
    inputs: Any,
    *,
    layouts: Mapping[int | str, str] | None = None,
    **options: Any,
) -> PortReport:
    """Judge two models with one batch: `inputs` is a tuple or mapping of NumPy arrays.

    Forward, and gradients of a fixed random projection of the outputs. `original` and `port` are
    modules or sides; (linen module, variables) and (function, parameters) are pairs. `options` are
    those of `Pair` and of `Pair.certify`. Raises BadInput and SideFailed.
    """
    pair, rest = pair_of(original, port, inputs, layouts=layouts, **options)
    return pair.certify(**rest)


def pair_of(original: Any, port: Any, inputs: Any, **options: Any) -> tuple[Pair, dict[str, Any]]:
    """The pair of the short form, and the options that are for `Pair.certify`."""
    own = {name: options.pop(name) for name in OF_PAIR if name in options}
    batch = inputs if isinstance(inputs, tuple | list | Mapping) else (inputs,)
    return Pair(original, port, batches=[batch], **own), options


def assert_same(pair: Pair, **options: Any) -> PortReport:
    """Raise AssertionError, with the whole story, unless the two are the same function.

    `options` are those of `Pair.certify`.
    """
    report = pair.certify(**options)
    if not report.passed:
        raise PortAssertion("\n".join([report.summary(), *report.story()]))
    return report


def _parts(a: Side, b: Side, part: Mapping[str, str]) -> tuple[Side, Side]:
    if len(part) != 1:
        raise BadInput(
            f'part: {dict(part)} given; allowed is one pair, such as {{"encoder.0": "blocks.0"}}'
        )
    ((first, second),) = part.items()
    return a.part(first) if first else a, b.part(second) if second else b


def _require_alike(a: Side, b: Side) -> None:
    """Both sides answer the same questions."""
    for name, has in (("loss", "has_loss"), ("optimizer", "has_optimizer")):
        ours, theirs = getattr(a, has), getattr(b, has)
        if ours != theirs:
            with_it, without = (a, b) if ours else (b, a)
            raise BadInput(
                f"{name}: {with_it.label} has one, {without.label} has none; give it to both or to "
                "neither"
            )
    if a.only_steps != b.only_steps:
        raise BadInput("Step: one side is a step, the other a model; allowed are two of a kind")


def _attempted(names: Sequence[str], climb: Callable[[], Sequence[PortRung]]) -> Sequence[PortRung]:
    """The rungs, or one undecided rung that says why they could not run."""
    try:
        return climb()
    except SideFailed as error:
        return [
            PortRung(
                rung=names[0], side="pair", verdict="undecided", note=f"could not run: {error}"
            )
        ]


def _environment() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in (*OTHERS, *packages()):
        if name in sys.modules:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
    return found
