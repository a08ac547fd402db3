"""The spec's embedding: places, names, initial values, work, and a sentence for every mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twofold.errors import SpecError
from twofold.problem.data import prepare
from twofold.problem.problem import Batch, Problem, initial_parameters
from twofold.problem.summary import Layer, summarize
from twofold.spec.experiment import Experiment
from twofold.spec.layers.embedding import Embedding
from twofold.spec.model import Mlp, placed
from twofold.studies.advice.workload import workload_of
from twofold.timing.operations import work_of

LAYERS = [{"kind": "embedding", "features": 3, "categories": [4, 2]}, {"kind": "linear"}]
LAYER = "[[model.layers]]\n"
LINEAR = f'{LAYER}kind = "linear"\n'
EMBEDDING = f'{LAYER}kind = "embedding"\nfeatures = 3\n'
TEXTS = '[data]\nsource = "synthetic-categories"\ncategorical = "embedding"\nrows = 60\n'


def problem_of(layers: list[dict[str, Any]], **values: Any) -> Problem:
    model = {"kind": "sequential", "in_features": 5, "out_features": 2, "layers": layers}
    experiment = Experiment.model_validate({"model": model, **values})
    rows = Batch(np.zeros((8, 5), np.float32), np.zeros(8, np.int64))
    return Problem(experiment, rows, rows)


def test_one_table_of_weights_serves_all_columns() -> None:
    """Rows 0 to 3 and 5, 6 are texts; 4 and 7 stand for other texts of the two columns."""
    problem = problem_of(LAYERS)
    embedding = problem.layers[0]
    assert isinstance(embedding.layer, Embedding)
    assert embedding.layer.first_rows == (0, 5, 8)
    assert embedding.layer.numbers(5) == 3
    assert summarize(problem).layers == (
        Layer("layers.0", "embedding", 5, 3 + 2 * 3, 8 * 3),
        Layer("layers.1", "linear", 9, 2, 20),
    )
    assert initial_parameters(problem)["layers.0.weight"].shape == (8, 3)


@pytest.mark.parametrize(("init", "deviation"), [("pytorch", 1.0), ("flax", 0.25)])
def test_initial_values_are_those_of_a_framework_and_zero_for_other_texts(
    init: str, deviation: float
) -> None:
    layer = {"kind": "embedding", "features": 16, "categories": [3_000, 1_000], "init": init}
    weight = initial_parameters(problem_of([layer, {"kind": "linear"}]))["layers.0.weight"]
    assert not weight[[3_000, 4_001]].any()
    drawn = np.delete(weight, [3_000, 4_001], axis=0)
    assert drawn.std() == pytest.approx(deviation, rel=0.01)
    assert abs(drawn.mean()) < 0.02 * deviation
    assert (np.abs(drawn) > 3 * deviation).mean() == pytest.approx(0.0027, rel=0.2)


def test_the_work_of_an_embedding_is_that_counted_by_hand() -> None:
    work = work_of(problem_of(LAYERS), 4)
    # forward, the weight's gradient and the gradient of what the embedding gave: 9 by 2 each
    assert work.flops == 3 * 2 * 4 * 9 * 2
    # 24 + 20 parameters 9 times (AdamW), inputs twice, 9 and 2 numbers of each row 5 times
    assert work.traffic_bytes == 4 * (44 * 9 + 4 * (2 * 5 + 5 * (9 + 2)))


def test_the_advice_knows_no_embedding() -> None:
    with pytest.raises(SpecError, match="model: embedding given; the advice was calibrated on"):
        workload_of(problem_of(LAYERS))


def test_the_short_form_begins_with_an_embedding() -> None:
    model = Mlp(in_features=5, hidden=(7,), out_features=2, embedding_features=3, categories=(4, 2))
    assert [(each.layer.words(), each.width) for each in placed(model)] == [
        ("embedding", 5),
        ("linear", 9),
        ("relu", 7),
        ("linear", 7),
    ]
    short = Experiment.from_toml(f"[model]\nhidden = [7]\nembedding_features = 3\n{TEXTS}")
    long = f'{EMBEDDING}{LINEAR}out_features = 7\n{LAYER}kind = "activation"\n{LINEAR}{TEXTS}'
    problems = [prepare(short), prepare(Experiment.from_toml(long))]
    first, second = map(initial_parameters, problems)
    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    resolved = problems[0].experiment
    assert Experiment.from_toml(resolved.to_toml()) == resolved
    again = prepare(resolved)
    assert np.array_equal(again.train.inputs, problems[0].train.inputs)


BAD = [
    (
        f"{LINEAR}out_features = 3\n{EMBEDDING}{LINEAR}",
        "model.layers[1]: an embedding after other layers given; allowed is the first place alone",
    ),
    (
        f"{LAYER}kind = 'residual'\nlayers = [{{kind = 'embedding', features = 3}}]\n{LINEAR}",
        "model.layers[0].layers[0].kind: 'embedding' given; allowed is",
    ),
    (EMBEDDING, "model.layers[0]: embedding is the last layer; allowed is a linear layer"),
    (
        f"[model]\nin_features = 1\n{EMBEDDING}categories = [2, 3]\n{LINEAR}",
        "model.layers[0].categories: 2 columns of texts given; allowed are at most 1",
    ),
    (
        f"[model]\nin_features = 4\n{EMBEDDING}categories = [2, 3]\n{LINEAR}in_features = 7\n",
        "model.layers[1].in_features: 7 given; allowed is 8",
    ),
    (f"{LAYER}kind = 'embedding'\n{LINEAR}", "model.layers[0].features: nothing given"),
    (f"{EMBEDDING}categories = [16777217]\n{LINEAR}", "16777217 given; allowed is a whole number"),
    (
        "[model]\ncategories = [3]\n",
        "model.categories: [3] given without an embedding; set model.embedding_features",
    ),
    (
        "[data]\ncategorical = 'embedding'\n",
        "data.categorical: 'embedding' given without an embedding in the model; set",
    ),
    (
        f"rng = 'native'\n{EMBEDDING}init = 'flax'\n{LINEAR}",
        "model.init: 'flax' given with rng = 'native'",
    ),
]


@pytest.mark.parametrize(("toml", "says"), BAD)
def test_a_wrong_embedding_has_its_sentence(toml: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        Experiment.from_toml(toml)
    assert says in str(caught.value)


def test_an_embedding_without_its_categories_has_no_place() -> None:
    layers = [{"kind": "embedding", "features": 3}, {"kind": "linear"}]
    with pytest.raises(SpecError, match=r"model.layers\[0\].categories: not resolved"):
        placed(problem_of(layers).experiment.model)
