"""Model summaries against counts done by hand."""

from __future__ import annotations

from twofold.problem.data import prepare
from twofold.problem.problem import initial_parameters
from twofold.problem.summary import Layer, summarize
from twofold.spec.experiment import Experiment


def test_the_lesson_has_19587_parameters():
    summary = summarize(prepare(Experiment.load("lesson")))
    # 20 * 128 + 128, 128 * 128 + 128, 128 * 3 + 3
    counts = [layer.parameters for layer in summary.layers if layer.kind == "linear"]
    assert counts == [2688, 16512, 387]
    assert summary.parameters == 19_587


def test_layers_in_order():
    lesson = Experiment.load("lesson", ("model.hidden=[4]", "model.bias=false", "data.rows=9"))
    assert summarize(prepare(lesson)).layers == (
        Layer("layers.0", "linear", 20, 4, 80),
        Layer("", "relu", 4, 4, 0),
        Layer("", "dropout 0.2", 4, 4, 0),
        Layer("layers.1", "linear", 4, 3, 12),
    )


def test_without_hidden_layers_there_is_one_linear_layer():
    lesson = Experiment.load("lesson", ("model.hidden=[]", "data.rows=9"))
    assert summarize(prepare(lesson)).layers == (Layer("layers.0", "linear", 20, 3, 63),)


def test_the_count_is_that_of_the_initial_parameters():
    for name in ("digits", "diabetes", "breast-cancer"):
        problem = prepare(Experiment.load(name))
        arrays = initial_parameters(problem).values()
        assert summarize(problem).parameters == sum(array.size for array in arrays)
