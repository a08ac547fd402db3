"""Free-running divergence: how far engines drift from a float64 run and from each other.

Two correct programs part, because training amplifies rounding; so distances are reported beside
the noise floor of `twofold.studies.symmetries` and never asserted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from twofold.engines import registry
from twofold.engines.session import Session
from twofold.errors import SpecError
from twofold.problem.data import prepare
from twofold.problem.problem import Batch, Problem, batch_at, initial_state
from twofold.problem.state import Array, Parameters, TrainState
from twofold.results import environment
from twofold.spec.experiment import Experiment
from twofold.studies import symmetries
from twofold.studies.distances import (
    PARTED,
    Curve,
    Kind,
    NotFinite,
    Trajectory,
    curve,
    first_beyond,
    runs_not_finite,
)
from twofold.studies.symmetries import Symmetry, draw_symmetry

SCHEMA: Final = "twofold.divergence/1"
SAMPLES: Final = 60
FLOOR_RUNS: Final = 2


@dataclass(frozen=True)
class DivergenceResult:
    """The curves of one experiment; `symmetries` says what the noise floor's runs permute.

    `not_finite` has the runs that leave the range of their numbers; `beyond_float32` is the first
    sampled step at which the float64 run cannot be held in float32, None if there is none.
    """

    experiment: Experiment
    environment: dict[str, Any]
    steps: tuple[int, ...]
    reference: str
    symmetries: tuple[str, ...]
    curves: tuple[Curve, ...]
    not_finite: tuple[NotFinite, ...] = ()
    beyond_float32: int | None = None

    def of_kind(self, kind: Kind) -> tuple[Curve, ...]:
        """The curves of one kind."""
        return tuple(curve for curve in self.curves if curve.kind == kind)

    def to_json(self) -> dict[str, Any]:
        """The result in the schema `twofold.divergence/1`; what is not finite is null."""
        return {
            "schema": SCHEMA,
            "experiment": self.experiment.model_dump(mode="json"),
            "environment": self.environment,
            "steps": list(self.steps),
            "reference": self.reference,
            "symmetries": list(self.symmetries),
            "parted_above": PARTED,
            "not_finite": [asdict(run) for run in self.not_finite],
            "beyond_float32": self.beyond_float32,
            "curves": [curve.to_json() for curve in self.curves],
        }


def measure(
    experiment: Experiment,
    *,
    steps: int,
    engines: Sequence[str] | None = None,
    floor_runs: int = FLOOR_RUNS,
    on_progress: Callable[[str], None] | None = None,
) -> DivergenceResult:
    """Let every engine run freely from the same initial state and compare their parameters.

    The float64 run is the first engine of the first named backend, fed the same float32 numbers;
    the noise floor is made `floor_runs` times for the first named engine of each backend. Raises
    BadInput for engines or experiments that cannot be compared.
    """
    names = tuple(engines) if engines is not None else registry.default_engines(experiment)
    _require_comparable(experiment, names, steps)
    say = on_progress or (lambda _: None)
    problem = prepare(experiment)
    sampled = sampled_steps(steps)
    owner = registry.find_engine(names[0])[0]
    reference = f"{owner.name}:{owner.engines[0].name}"
    say(f"{reference} in float64")
    exact = run_freely(registry.open_session(in_float64(problem), reference), problem, sampled)
    runs: dict[str, Trajectory] = {}
    for name in names:
        say(name)
        runs[name] = run_freely(registry.open_session(problem, name), problem, sampled)
    curves = [
        curve("from float64", (name, run), ("float64", exact), sampled)
        for name, run in runs.items()
    ]
    curves += [
        curve("between engines", left, right, sampled)
        for left, right in itertools.combinations(runs.items(), 2)
    ]
    for name, number in itertools.product(_first_of_each_backend(names), range(floor_runs)):
        say(f"noise floor of {name}, {number + 1} of {floor_runs}")
        permuted = run_permuted(name, problem, draw_symmetry(problem, number), sampled)
        curves.append(curve("noise floor", (name, permuted), (name, runs[name]), sampled))
    return DivergenceResult(
        experiment=experiment,
        environment=environment.describe(),
        steps=sampled,
        reference=f"{reference} in float64",
        symmetries=symmetries.names_of(problem),
        curves=tuple(curves),
        not_finite=tuple(runs_not_finite({"float64": exact, **runs}, sampled)),
        beyond_float32=first_beyond(exact, sampled, float(np.finfo(np.float32).max)),
    )


def _require_comparable(experiment: Experiment, names: Sequence[str], steps: int) -> None:
    if not names:
        raise SpecError("engines: none given; allowed is one or more")
    for name in names:
        registry.require_framework(registry.find_engine(name)[0])
    if steps < 1:
        raise SpecError(f"steps: {steps} given; allowed is 1 or more")
    if experiment.precision != "float32":
        raise SpecError(
            f'precision: "{experiment.precision}" given; divergence from a float64 run is that '
            "of float32; run with --set precision=float32"
        )
    if experiment.rng == "native":
        raise SpecError(
            'rng: "native" given; runs from different draws part at once; run with --set rng=shared'
        )


def sampled_steps(steps: int) -> tuple[int, ...]:
    """Every step up to SAMPLES of them, else as many in a geometric series, first and last too."""
    if steps <= SAMPLES:
        return tuple(range(1, steps + 1))
    series = np.geomspace(1, steps, SAMPLES).round().astype(int)
    return tuple(sorted({int(step) for step in series} | {1, steps}))


def _first_of_each_backend(names: Sequence[str]) -> tuple[str, ...]:
    firsts: dict[str, str] = {}
    for name in names:
        firsts.setdefault(name.partition(":")[0], name)
    return tuple(firsts.values())


def in_float64(problem: Problem) -> Problem:
    """The problem in float64 with exactly the numbers that it has in float32."""

    def widened(batch: Batch) -> Batch:
        targets = batch.targets
        real = np.issubdtype(targets.dtype, np.floating)
        return Batch(
            batch.inputs.astype(np.float64), targets.astype(np.float64) if real else targets
        )

    experiment = problem.experiment.model_copy(update={"precision": "float64"})
    return Problem(experiment, widened(problem.train), widened(problem.test))


def run_freely(session: Session, problem: Problem, sampled: Sequence[int]) -> Trajectory:
    """Parameters at the sampled steps of a session that starts from the problem's initial state."""
    session.load_state(_in_dtype(initial_state(problem), session.problem.dtype))
    return list(_sampled(session, sampled, lambda gap: session.run(gap)))


def run_permuted(
    engine: str, problem: Problem, symmetry: Symmetry, sampled: Sequence[int]
) -> Trajectory:
    """The same run under a symmetry, its parameters with the plain run's labels."""
    permuted = symmetry.problem(problem)
    session = registry.open_session(permuted, engine)
    session.load_state(symmetry.state(initial_state(problem)))

    def advance(gap: int) -> None:
        if symmetry.rows_key is None:
            session.run(gap)
            return
        start = session.state().step
        for step in range(start, start + gap):
            session.step(symmetry.batch(batch_at(permuted, step), step))

    return [
        symmetry.undone(TrainState(parameters, {}, 0)).parameters
        for parameters in _sampled(session, sampled, advance)
    ]


def _sampled(
    session: Session, sampled: Sequence[int], advance: Callable[[int], object]
) -> Iterator[Parameters]:
    for before, step in itertools.pairwise((0, *sampled)):
        advance(step - before)
        yield session.state().parameters


def _in_dtype(state: TrainState, dtype: np.dtype[np.floating]) -> TrainState:
    def cast(arrays: Parameters) -> dict[str, Array]:
        return {name: array.astype(dtype) for name, array in arrays.items()}

    slots = {slot: cast(arrays) for slot, arrays in state.slots.items()}
    return TrainState(cast(state.parameters), slots, state.step, cast(state.buffers))
