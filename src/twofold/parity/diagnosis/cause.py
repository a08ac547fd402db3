"""A known difference between ports, as a change of the oracle, and the ways to write one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from twofold.parity.ladder.reference import Moment, Reference, moment
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.problem.problem import Problem
from twofold.problem.state import Parameters
from twofold.spec.experiment import Experiment
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.sequence import with_each
from twofold.spec.model import Mlp, Sequential

ChangeMoment = Callable[[Moment, Problem, Arithmetic], Moment]


@dataclass(frozen=True)
class Cause:
    """A difference in words, and the oracle with it.

    It accounts for a rung whose worst ratio it brings to `largest_ratio` or below.
    """

    words: str
    change: Callable[[Reference], Reference]
    largest_ratio: float = 1.0


def settings(words: str, **values: Any) -> Cause:
    """Other values of the experiment, by dotted path with `__` for the dot."""

    def change(reference: Reference) -> Reference:
        problem = reference.problem
        changed = replace(problem, experiment=with_values(problem.experiment, values))
        return every_moment(
            reference, lambda m, _, arithmetic: seen(m, changed, arithmetic), changed
        )

    return Cause(words, change)


def changed_model(model: Mlp | Sequential, change: Callable[[LayerKind], LayerKind]) -> Sequential:
    """The model with each of its layers, those in residual blocks too, as `change` makes it."""
    return Sequential.model_construct(
        in_features=model.in_features,
        out_features=model.out_features,
        layers=with_each(model.layers, change),
    )


def with_values(experiment: Experiment, values: dict[str, Any]) -> Experiment:
    """The experiment with values by path, `__` between section and field; not validated."""
    for path, value in values.items():
        section, _, field = path.partition("__")
        if field:
            value = getattr(experiment, section).model_copy(update={field: value})
        experiment = experiment.model_copy(update={section: value})
    return experiment


def seen(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """The moment as the changed problem has it, with the engine's own batch."""
    return replace(moment(given.label, problem, given.state, arithmetic), batch=given.batch)


def every_moment(
    reference: Reference, change: ChangeMoment, problem: Problem | None = None
) -> Reference:
    """The reference with both moments changed, and another problem if one is given."""
    arithmetic = reference.arithmetic
    fresh = change(reference.fresh, reference.problem, arithmetic)
    same = reference.warm is reference.fresh
    warm = fresh if same else change(reference.warm, reference.problem, arithmetic)
    return replace(reference, problem=problem or reference.problem, fresh=fresh, warm=warm)


def each_moment(words: str, change: ChangeMoment) -> Cause:
    """A cause that changes each moment by itself."""
    return Cause(words, lambda reference: every_moment(reference, change))


def at(given: Moment, parameters: Parameters) -> Moment:
    """The moment with other parameters in its state; nothing is evaluated again."""
    return replace(given, state=replace(given.state, parameters=parameters))
