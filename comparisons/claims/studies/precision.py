"""What float64 costs, and what it buys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from comparisons.claims.claim import Findings
from comparisons.claims.paired import in_turns
from comparisons.claims.studies.engines import SIZES, Size
from twofold import Experiment, open_session, prepare
from twofold.engines.training import train
from twofold.spec.experiment import Precision

ENGINES: Final = ("torch:eager", "flax:jit")
PRECISIONS: Final[tuple[Precision, ...]] = ("float32", "float64")
STEPS: Final = 4


def speed(quick: bool) -> Findings:
    """Training steps in both precisions, and the bytes that the train state takes."""
    sizes = SIZES[:2] if quick else SIZES
    cases = [
        {
            "size": size.text,
            "engine": engine,
            "bytes": {precision: state_bytes(size, precision) for precision in PRECISIONS},
            "timed": in_turns(
                {each: steps_of(size, engine, each) for each in PRECISIONS},
                seconds=0.5 if quick else 2.5,
            ),
        }
        for engine in ENGINES
        for size in sizes
    ]
    return {"conditions": f"the lesson's network, {STEPS} training steps a call", "cases": cases}


def lesson_of(size: Size, precision: Precision) -> Experiment:
    return Experiment.load("lesson").with_values(
        precision=precision,
        model__hidden=(size.width, size.width),
        data__batch_size=size.batch,
        data__drop_last=True,
    )


def steps_of(size: Size, engine: str, precision: Precision) -> Callable[[], object]:
    session = open_session(prepare(lesson_of(size, precision)), engine)
    return lambda: session.run(STEPS)


def state_bytes(size: Size, precision: Precision) -> int:
    """Bytes of parameters and optimizer slots."""
    from twofold.problem.problem import initial_state

    state = initial_state(prepare(lesson_of(size, precision)))
    groups = (state.parameters, *state.slots.values())
    return sum(array.nbytes for group in groups for array in group.values())


def quality(quick: bool) -> Findings:
    """Test accuracy on the digits from the same seeds in both precisions."""
    seeds = range(3 if quick else 10)
    epochs = 5 if quick else 30
    scores: dict[str, list[Any]] = {
        precision: [accuracy(precision, seed, epochs) for seed in seeds] for precision in PRECISIONS
    }
    return {
        "conditions": f"digits, torch:eager, {epochs} epochs, {len(seeds)} seeds; a seed gives "
        "both precisions the same initial values, batches and dropout masks",
        "accuracy": scores,
    }


def accuracy(precision: Precision, seed: int, epochs: int) -> float:
    experiment = Experiment.load("digits").with_values(
        precision=precision, seed=seed, training__epochs=epochs
    )
    score = train(open_session(prepare(experiment), "torch:eager")).score
    assert score is not None  # the digits have test rows, and this learning rate trains
    return score.value
