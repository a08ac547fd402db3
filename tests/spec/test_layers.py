"""The spec's layers: places, names and widths, the short form, and a sentence for every mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twofold.errors import DataError, SpecError, TwofoldError
from twofold.problem.data import prepare
from twofold.problem.problem import Batch, Problem, dropout_masks, initial_state
from twofold.problem.summary import Layer, summarize
from twofold.spec.experiment import Experiment
from twofold.spec.model import Mlp, dropouts, numbered, placed
from twofold.timing.operations import work_of

RESNET = """
[model]
[[model.layers]]
kind = "linear"
out_features = 4
[[model.layers]]
kind = "residual"
layers = [
    { kind = "batch_norm", momentum = 0.2 },
    { kind = "linear", out_features = 6, bias = false },
    { kind = "activation", function = "gelu" },
    { kind = "dropout", rate = 0.5 },
    { kind = "linear", out_features = 4 },
    { kind = "dropout", rate = 0.25 },
]
[[model.layers]]
kind = "layer_norm"
[[model.layers]]
kind = "linear"
[data]
batch_size = 4
rows = 20
"""


def problem_of(layers: list[dict[str, Any]], **values: Any) -> Problem:
    model = {"kind": "sequential", "in_features": 4, "out_features": 2, "layers": layers}
    experiment = Experiment.model_validate({"model": model, **values})
    rows = Batch(np.zeros((8, 4), np.float32), np.zeros(8, np.int64))
    return Problem(experiment, rows, rows)


def message_of(toml: str) -> str:
    with pytest.raises(SpecError) as caught:
        Experiment.from_toml(toml)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_list_of_layers_needs_no_kind_and_comes_back_from_toml() -> None:
    experiment = Experiment.from_toml(RESNET)
    assert experiment.model.kind == "sequential"
    assert Experiment.from_toml(experiment.to_toml()) == experiment
    assert Experiment.from_toml("[model]\nhidden = [3]\n").model == Mlp(hidden=(3,))


def test_layers_with_parameters_are_numbered_also_inside_a_block() -> None:
    problem = prepare(Experiment.from_toml(RESNET))
    state = initial_state(problem)
    assert {name: array.shape for name, array in state.parameters.items()} == {
        "layers.0.weight": (4, 20),
        "layers.0.bias": (4,),
        "layers.1.weight": (4,),
        "layers.1.bias": (4,),
        "layers.2.weight": (6, 4),
        "layers.3.weight": (4, 6),
        "layers.3.bias": (4,),
        "layers.4.weight": (4,),
        "layers.4.bias": (4,),
        "layers.5.weight": (3, 4),
        "layers.5.bias": (3,),
    }
    assert list(state.buffers) == ["layers.1.running_mean", "layers.1.running_var"]
    for name, expected in (("weight", 1.0), ("bias", 0.0)):
        assert np.all(state.parameters[f"layers.1.{name}"] == expected)
        assert np.all(state.parameters[f"layers.4.{name}"] == expected)
    assert np.all(state.buffers["layers.1.running_mean"] == 0.0)
    assert np.all(state.buffers["layers.1.running_var"] == 1.0)
    assert {str(array.dtype) for array in state.tensors.values()} == {"float32"}


def test_each_dropout_layer_has_its_own_rate_and_masks() -> None:
    problem = prepare(Experiment.from_toml(RESNET))
    assert dropouts(problem.experiment.model) == ((6, 0.5), (4, 0.25))
    wide, narrow = dropout_masks(problem, 0, 2_000)
    assert (wide.shape, narrow.shape) == ((2_000, 6), (2_000, 4))
    assert abs(wide.mean() - 0.5) < 0.02
    assert abs(narrow.mean() - 0.75) < 0.02


def test_the_summary_shows_a_block_after_its_residual() -> None:
    assert summarize(prepare(Experiment.from_toml(RESNET))).layers == (
        Layer("layers.0", "linear", 20, 4, 84),
        Layer("", "residual", 4, 4, 0),
        Layer("layers.1", "batch_norm", 4, 4, 8),
        Layer("layers.2", "linear", 4, 6, 24),
        Layer("", "gelu", 6, 6, 0),
        Layer("", "dropout 0.5", 6, 6, 0),
        Layer("layers.3", "linear", 6, 4, 28),
        Layer("", "dropout 0.25", 4, 4, 0),
        Layer("layers.4", "layer_norm", 4, 4, 8),
        Layer("layers.5", "linear", 4, 3, 15),
    )


def test_the_work_of_a_norm_is_that_counted_by_hand() -> None:
    plain = problem_of([{"kind": "linear", "out_features": 3}, {"kind": "linear"}])
    normed = problem_of(
        [{"kind": "linear", "out_features": 3}, {"kind": "layer_norm"}, {"kind": "linear"}]
    )
    without, with_norm = work_of(plain, 5), work_of(normed, 5)
    assert with_norm.flops == without.flops
    # 6 parameters 9 times (AdamW), 3 numbers of each of 5 rows 5 times; 4 bytes each
    assert with_norm.traffic_bytes - without.traffic_bytes == 4 * (6 * 9 + 5 * 3 * 5)


def test_the_short_form_expands_into_layers() -> None:
    def kinds(**values: Any) -> list[str]:
        model = Mlp(in_features=5, hidden=(8, 8), out_features=2, **values)
        return [
            "+".join(inner.layer.words() for inner in each.block) or each.layer.words()
            for each in placed(model)
        ]

    assert kinds() == ["linear", "relu", "linear", "relu", "linear"]
    assert kinds(norm="layer_norm", dropout=0.5) == [
        *("linear", "layer_norm", "relu", "dropout 0.5") * 2,
        "linear",
    ]
    assert kinds(norm="batch_norm", residual=True) == [
        "linear",
        "batch_norm",
        "relu",
        "linear+batch_norm+relu",
        "linear",
    ]
    model = Mlp(in_features=5, hidden=(8, 8), out_features=2, bias=False)
    assert [list(each.parameter_shapes) for each in numbered(model)] == [
        [f"layers.{number}.weight"] for number in range(3)
    ]


LAYER = "[[model.layers]]\n"
LINEAR = f'{LAYER}kind = "linear"\n'
BAD_MODELS = [
    (f"{LAYER}kind = 'batch_norm'\n", "model.layers[0]: batch_norm is the last layer; allowed is"),
    (f"{LINEAR}out_features = 3\n{LAYER}kind = 'layer_norm'\n", "model.layers[1]: layer_norm is"),
    ("[model]\nlayers = []\n", "model.layers: none given; allowed is one or more"),
    (
        f"{LINEAR}{LINEAR}",
        "model.layers[0].out_features: nothing given; allowed is a whole number, 1 or more: only",
    ),
    (
        f"{LINEAR}out_features = 3\n{LINEAR}in_features = 4\n",
        "model.layers[1].in_features: 4 given; allowed is 3, the features that the layer before",
    ),
    (
        f"[model]\nout_features = 3\n{LINEAR}out_features = 2\n",
        "model.layers[0].out_features: 2 given; allowed is 3, the outputs of the model",
    ),
    (
        f"{LINEAR}out_features = 3\n{LAYER}kind = 'residual'\n"
        "layers = [{kind = 'linear', out_features = 5}]\n" + LINEAR,
        "model.layers[1]: a residual block of 3 features in and 5 out given; allowed is as many",
    ),
    (
        f"{LINEAR}out_features = 3\n{LAYER}kind = 'residual'\nlayers = []\n" + LINEAR,
        "model.layers[1].layers: none given; allowed is one or more",
    ),
    (
        f"{LINEAR}out_features = 3\n{LAYER}kind = 'residual'\n"
        "layers = [{kind = 'linear'}]\n" + LINEAR,
        "model.layers[1].layers[0].out_features: nothing given",
    ),
    (
        f"{LINEAR}out_features = 3\n{LAYER}kind = 'residual'\n"
        "layers = [{kind = 'residual', layers = []}]\n" + LINEAR,
        "model.layers[1].layers[0].kind: 'residual' given; allowed is",
    ),
    (f"{LAYER}kind = 'batchnorm'\n", "model.layers[0].kind: 'batchnorm' given; allowed is"),
    (f"{LAYER}kind = 'batchnorm'\n", "did you mean batch_norm?"),
    (f"{LAYER}out_features = 3\n", "model.layers[0].kind: nothing given; allowed is"),
    (f"{LAYER}kind = 'dropout'\n{LINEAR}", "model.layers[0].rate: nothing given; allowed is"),
    (f"{LAYER}kind = 'dropout'\nrate = 1.0\n{LINEAR}", "model.layers[0].rate: 1.0 given"),
    (f"{LAYER}kind = 'layer_norm'\neps = 0\n{LINEAR}", "model.layers[0].eps: 0 given; allowed is"),
    (
        f"{LAYER}kind = 'layer_norm'\nmomentum = 0.1\n{LINEAR}",
        "model.layers[0].momentum: unknown key; it belongs to kind batch_norm",
    ),
    (
        f"{LAYER}kind = 'activation'\nfunction = 'rellu'\n{LINEAR}",
        "model.layers[0].function: 'rellu' given; allowed is relu, leaky_relu",
    ),
    (f"{LINEAR}out_featurs = 3\n", "model.layers[0].out_featurs: unknown key; did you mean"),
    ("[model]\nkind = 'sequential'\n", "model.layers: nothing given; allowed is a list of at most"),
    (
        f"[model]\nhidden = [3]\n{LINEAR}",
        "model.hidden: unknown key; it belongs to kind mlp",
    ),
    ("[model]\nlayers = 3\n", "model.layers: 3 given; allowed is a list of at most 256 items"),
    ("[model]\nkind = 'mlp'\nnorm = 'group_norm'\n", "model.norm: 'group_norm' given; allowed is"),
    (
        "[model]\nhidden = [8, 4]\nresidual = true\n",
        "model.hidden: [8, 4] given; allowed with model.residual = true are sizes that are all",
    ),
    (
        "precision = 'mixed_bfloat16'\n[model]\nnorm = 'layer_norm'\n",
        'precision: "mixed_bfloat16" given with layer_norm in the model; allowed is "float32" or',
    ),
    (
        "[model]\nnorm = 'batch_norm'\n[training]\nepochs = 1\nmicro_batches = 2\n",
        "training.micro_batches: 2 given; allowed is 1 with batch_norm in the model: each part",
    ),
    (
        "[model]\nnorm = 'batch_norm'\n[data]\nbatch_size = 1\n",
        "data.batch_size: 1 given; allowed is 2 or more with batch_norm in the model",
    ),
]


@pytest.mark.parametrize(("toml", "says"), BAD_MODELS)
def test_a_wrong_field_of_a_layer_has_its_sentence(toml: str, says: str) -> None:
    assert says in message_of(toml)


def test_several_wrong_layers_are_told_at_once() -> None:
    with pytest.raises(SpecError, match="3 errors") as caught:
        Experiment.from_toml(
            f"{LAYER}kind = 'dropot'\n{LINEAR}bias = 1\n{LINEAR}out_features = 0\n"
        )
    for field in ("model.layers[0].kind", "model.layers[1].bias", "model.layers[2].out_features"):
        assert field in str(caught.value)


def test_layers_that_do_not_fit_the_data_are_refused_when_it_is_read() -> None:
    experiment = Experiment.from_toml(f"{LINEAR}in_features = 7\n[data]\nrows = 9\n")
    with pytest.raises(SpecError, match=r"layers\[0\].in_features: 7 given; allowed is 20"):
        prepare(experiment)
    block = "layers = [{kind = 'linear', out_features = 5}]\n"
    experiment = Experiment.from_toml(
        f"{LAYER}kind = 'residual'\n{block}{LINEAR}[data]\nrows = 9\n"
    )
    with pytest.raises(SpecError, match="20 features in and 5 out given"):
        prepare(experiment)


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        ({"rows": 17, "batch_size": 4, "test_fraction": 0.0}, True),
        ({"rows": 17, "batch_size": 4, "test_fraction": 0.0, "drop_last": True}, False),
        ({"rows": 18, "batch_size": 4, "test_fraction": 0.0}, False),
    ],
)
def test_a_last_batch_of_one_row_is_refused_with_batch_norm(
    data: dict[str, Any], refused: bool
) -> None:
    values: dict[str, Any] = {"model": {"kind": "mlp", "norm": "batch_norm"}, "data": data}
    experiment = Experiment.model_validate(values)
    if not refused:
        prepare(experiment)
        return
    with pytest.raises(DataError, match=r"last batch of an epoch: 1 row; allowed is 2 or more"):
        prepare(experiment)
    values["model"]["norm"] = "layer_norm"
    prepare(Experiment.model_validate(values))


def test_an_unresolved_model_has_no_places() -> None:
    with pytest.raises(TwofoldError, match="not resolved"):
        placed(Mlp())
