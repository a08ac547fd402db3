"""Many seeds at once end where each ends by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from comparisons.seeds_together import SCHEMA, main, problems_of
from twofold import Experiment, open_session, prepare
from twofold.engines.seeds import open_seeds
from twofold.errors import SpecError
from twofold.problem.state import Array, TrainState
from twofold.results.json_files import read_json
from twofold.studies.outcome import measure

SEEDS = 3
ENGINES = ("torch:eager", "flax:jit")
SCHEDULED = {"kind": "warmup_cosine", "warmup_steps": 2, "decay_steps": 9}
EXPERIMENTS = {
    "diabetes": {"model__dropout": 0.25},
    "digits": {"model__dropout": 0.0, "optimizer__schedule": SCHEDULED},
}


def named(state: TrainState) -> dict[str, Array]:
    """Parameters and slots by name."""
    slots = {f"{slot}:{n}": a for slot, arrays in state.slots.items() for n, a in arrays.items()}
    return {**state.parameters, **slots}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("spec", ["diabetes", pytest.param("digits", marks=pytest.mark.slow)])
def test_together_is_one_by_one_within_rounding(engine: str, spec: str) -> None:
    """In float64 over an epoch with its smaller last batch: the order of sums alone may differ."""
    values: dict[str, Any] = EXPERIMENTS[spec]
    experiment = Experiment.load(spec).with_values(precision="float64", **values)
    problems = problems_of(experiment, SEEDS)
    steps = problems[0].steps_per_epoch
    seeds = [problem.experiment.seed for problem in problems]
    backend = engine.partition(":")[0]
    together, again = (open_seeds(problems[0], seeds, backend) for _ in range(2))
    losses = together.run(steps)  # (steps, seeds)
    np.testing.assert_array_equal(again.run(steps), losses)
    for number, problem in enumerate(problems):
        session = open_session(problem, engine)
        np.testing.assert_allclose(losses[:, number], session.run(steps), rtol=1e-9)
        assert together.state(number).step == steps
        alone, found, repeated = (
            named(each) for each in (session.state(), together.state(number), again.state(number))
        )
        assert set(found) == set(alone)
        for name, array in alone.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-11)
            np.testing.assert_array_equal(found[name], repeated[name])
    first, second = (named(together.state(number)) for number in (0, 1))
    assert not np.allclose(first["layers.0.weight"], second["layers.0.weight"])


def test_the_script_stores_times_and_ratios(tmp_path: Any) -> None:
    assert main(["diabetes", "--seeds", "2", "--rounds", "2", "--out", str(tmp_path)]) == 0
    (case,) = read_json(tmp_path / "seeds-together.json", SCHEMA)["cases"]
    assert case["seeds"] == 2
    assert {len(times) for times in case["seconds"].values()} == {2}
    for ratio in case["ratios"].values():
        assert 0 < ratio["least"] <= ratio["median"] <= ratio["largest"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"optimizer__clip_norm": 1.0}, "optimizer.clip_norm"),
        ({"training__micro_batches": 2}, "training.micro_batches"),
        ({"precision": "mixed_bfloat16"}, "precision"),
    ],
)
def test_what_cannot_be_trained_together_is_refused(values: dict[str, Any], field: str) -> None:
    problem = prepare(Experiment.load("diabetes").with_values(**values))
    with pytest.raises(SpecError, match=f"^{field}.*one by one"):
        open_seeds(problem, [0, 1], "torch")


def test_weights_and_smoothing_are_not_trained_together() -> None:
    """PyTorch cannot: its smoothed and weighted loss selects rows by a mask."""
    changes = {"loss__class_weights": [1.0] * 10, "loss__label_smoothing": 0.1}
    problem = prepare(Experiment.load("digits").with_values(**changes))
    with pytest.raises(SpecError, match=r"^loss.class_weights: given with label_smoothing.*by one"):
        open_seeds(problem, [0, 1], "flax")


def test_the_outcome_is_the_same_together() -> None:
    """Without dropout each seed's run is the same but for rounding, so the metrics agree."""
    experiment = Experiment.load("diabetes").with_values(precision="float64", training__epochs=2)
    alone, together = (measure(experiment, seeds=2, together=way) for way in (False, True))
    assert [sample.engine for sample in together.samples] == ["torch:vmap", "flax:vmap"]
    for one, other in zip(alone.samples, together.samples, strict=True):
        assert one.seeds == other.seeds
        np.testing.assert_allclose(other.finished, one.finished, rtol=1e-9)


def test_a_seed_that_diverges_has_no_metric_together() -> None:
    experiment = Experiment.load("diabetes").with_values(
        optimizer__learning_rate=1e4, training__epochs=3
    )
    result = measure(experiment, seeds=2, together=True)
    assert all(sample.values == (None, None) for sample in result.samples)
    assert result.pairs[0].verdict == "undecided"


def test_two_engines_of_one_backend_are_refused_together() -> None:
    with pytest.raises(SpecError, match=r"engines: .*one of each backend"):
        measure(
            Experiment.load("diabetes"),
            seeds=2,
            engines=("flax:jit", "flax:scan"),
            together=True,
        )


@pytest.mark.parametrize("backend", ["torch", "flax"])
def test_native_dropout_together_is_repeatable_and_leaves_the_generator_alone(backend: str) -> None:
    import torch

    problem = prepare(Experiment.load("digits").with_values(rng="native"))
    outside = torch.random.get_rng_state()
    first, again = (open_seeds(problem, [4, 7], backend).run(2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), outside)
    undropped = problem.experiment.with_values(model__dropout=0.0)
    plain = open_seeds(replace(problem, experiment=undropped), [4, 7], backend).run(2)
    assert not np.allclose(first, plain, rtol=1e-3)
