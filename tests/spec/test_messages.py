"""Every bad spec: one message, with the field, what was given and what is allowed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import SpecError
from twofold.problem.data import prepare
from twofold.spec import toml
from twofold.spec.experiment import Experiment

BAD_FIELDS = [
    ("seed=-1", "seed: -1 given; allowed is a whole number from 0 to 4294967295"),
    ("seed=1.5", "seed: 1.5 given; allowed is a whole number"),
    ("seed=true", "seed: true given; allowed is a whole number"),
    ('seed="1"', "seed: '1' given; allowed is a whole number"),
    ("name=", "name: '' given; allowed is a text of 1 or more characters, at most 100"),
    (
        "precision=float23",
        "precision: 'float23' given; allowed is float32, float64, mixed_bfloat16; did you mean",
    ),
    ("device=tpu", "device: 'tpu' given; allowed is auto, cpu, cuda, mps"),
    ("rng=1", "rng: 1 given; allowed is shared, native"),
    ("model.kind=cnn", "model.kind: 'cnn' given; allowed is mlp"),
    ("model.hidden=[0]", "model.hidden[0]: 0 given; allowed is a whole number, 1 or more"),
    ("model.hidden=[3, -1]", "model.hidden[1]: -1 given; allowed is a whole number, 1 or more"),
    ("model.hidden=8", "model.hidden: 8 given; allowed is a list of at most 64 items"),
    ("model.hidden=[1.5]", "model.hidden[0]: 1.5 given"),
    ("model.in_features=0", "model.in_features: 0 given; allowed is a whole number, 1 or more, or"),
    ("model.out_features=-2", "model.out_features: -2 given"),
    ("model.dropout=1", "model.dropout: 1 given; allowed is a finite number from 0 up to, not"),
    ("model.dropout=-0.1", "model.dropout: -0.1 given"),
    ("model.dropout=nan", "model.dropout: nan given; allowed is a finite number"),
    ("model.activation=rellu", "did you mean relu?"),
    ("optimizer.lr=0.1", "optimizer.lr: unknown key; here that is learning_rate;"),
    ("loss.kind=bce", "; here that is bce_with_logits"),
    ("precision=bf16", "; here that is mixed_bfloat16"),
    ("model.bias=1", "model.bias: 1 given; allowed is true or false"),
    ("model=3", "model: 3 given; allowed is a table"),
    ("loss.kind=crossentropy", "loss.kind: 'crossentropy' given; allowed is"),
    ("loss=mse", "loss: 'mse' given; allowed is a table with kind = "),
    ("optimizer.kind=adm", "optimizer.kind: 'adm' given; allowed is adam, adamw, sgd; did you"),
    ("optimizer={}", "optimizer.kind: nothing given; allowed is adam, adamw, sgd"),
    ("optimizer.learning_rate=0", "optimizer.learning_rate: 0 given; allowed is a finite number"),
    ("optimizer.learning_rate=nan", "optimizer.learning_rate: nan given; allowed is a finite"),
    ("optimizer.learning_rate=inf", "optimizer.learning_rate: inf given; allowed is a finite"),
    ("optimizer.weight_decay=-inf", "optimizer.weight_decay: -inf given; allowed is a finite"),
    ("optimizer.eps=-1", "optimizer.eps: -1 given"),
    ("optimizer.betas=[0.9]", "optimizer.betas[1]: nothing given; allowed is a finite number"),
    ("optimizer.betas=[0.9, 1.0]", "optimizer.betas[1]: 1.0 given"),
    (
        "optimizer.betas=[0.9, 0.9, 0.9]",
        "optimizer.betas: [0.9, 0.9, 0.9] given; allowed is a list",
    ),
    ("optimizer.momentum=0.5", "optimizer.momentum: unknown key; it belongs to kind sgd"),
    (
        "loss.class_weights=[1, 0]",
        "loss.class_weights[1]: 0 given; allowed is a finite number above",
    ),
    ("loss.class_weights=[1, -2.0]", "loss.class_weights[1]: -2.0 given; allowed is a finite"),
    ("loss.class_weights=[1, inf]", "loss.class_weights[1]: inf given; allowed is a finite number"),
    (
        "loss.class_weights=2.0",
        "loss.class_weights: 2.0 given; allowed is a list of 1 or more items",
    ),
    ("loss.class_weights=[]", "loss.class_weights: [] given; allowed is a list of 1 or more items"),
    ("loss.class_weight=[1]", "loss.class_weight: unknown key; here that is class_weights;"),
    ("loss.weight=[1]", "loss.weight: unknown key; here that is class_weights; allowed of kind"),
    ("loss.pos_weight=[3]", "loss.pos_weight: unknown key; it belongs to kind bce_with_logits;"),
    ("loss.delta=1.0", "loss.delta: unknown key; it belongs to kind huber; allowed of kind"),
    ("loss.kind=smooth_l1", "; here that is huber, which is smooth L1 times its delta"),
    ("model.activation=leaky", "did you mean leaky_relu?"),
    (
        "model.init=xavier_uniform",
        "'xavier_uniform' given; allowed is pytorch, lecun_normal, he_no",
    ),
    ("model.init=xavier_uniform", "; here that is glorot_uniform"),
    ("model.bias_init=ones", "model.bias_init: 'ones' given; allowed is pytorch, zeros"),
    ("optimizer.decay_biases=0", "optimizer.decay_biases: 0 given; allowed is true or false"),
    ("optimizer.schedule.kind=cosine", "; here that is warmup_cosine with warmup_steps = 0"),
    ("data.batch_size=0", "data.batch_size: 0 given; allowed is a whole number, 1 or more"),
    ("data.rows=-5", "data.rows: -5 given"),
    ("data.source=3", "data.source: 3 given; allowed is a text"),
    ("data.test_fraction=1.0", "data.test_fraction: 1.0 given"),
    ("training.epochs=0", "training.epochs: 0 given"),
    ("training={}", "training: give either epochs or steps; neither given"),
    ("model.hiden=[3]", "model.hiden: unknown key; did you mean hidden?"),
    ("modle.hidden=[3]", "modle: unknown key; did you mean model?"),
    ("learning_rate=1", "learning_rate: unknown key; did you mean optimizer.learning_rate?"),
    ("hidden=[1]", "hidden: unknown key; did you mean model.hidden?"),
    ("xyz=1", "xyz: unknown key; allowed is name, seed,"),
    ("model.hidden.first=3", "model.hidden.first: unknown key; model.hidden is a value"),
]


@pytest.mark.parametrize(("override", "says"), BAD_FIELDS)
def test_bad_fields(override, says):
    with pytest.raises(SpecError) as caught:
        Experiment.load("digits", (override,))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


SCHEDULES = [
    ("linear", ("start_fraction=0",), "optimizer.schedule.start_fraction: 0 given; allowed is"),
    (
        "linear",
        ("final_fraction=1.5",),
        "final_fraction: 1.5 given; allowed is a finite number from 0",
    ),
    (
        "linear",
        ("transition_steps=0",),
        "transition_steps: 0 given; allowed is a whole number, 1 or",
    ),
    (
        "linear",
        ("end_factor=0.5",),
        "end_factor: unknown key; here that is final_fraction; allowed",
    ),
    ("step", ("gamma=0.5",), "optimizer.schedule.gamma: unknown key; here that is decay_rate;"),
    (
        "step",
        ("decay_rate=0",),
        "optimizer.schedule.decay_rate: 0 given; allowed is a finite number",
    ),
    (
        "exponential",
        ("decay_rate=1.01",),
        "decay_rate: 1.01 given; allowed is a finite number above",
    ),
]


@pytest.mark.parametrize(("kind", "values", "says"), SCHEDULES)
def test_bad_schedules(kind, values, says):
    fields = {"linear": ("transition_steps=5",), "step": ("transition_steps=5",)}
    given = (f"kind={kind}", *fields.get(kind, ("decay_rate=0.5",)), *values)
    with pytest.raises(SpecError) as caught:
        Experiment.load("digits", tuple(f"optimizer.schedule.{each}" for each in given))
    assert says in str(caught.value)


def test_a_start_without_a_warm_up_is_refused():
    given = ("kind=warmup_cosine", "decay_steps=5", "start_fraction=0.5")
    with pytest.raises(SpecError, match=r"start_fraction = 0\.5 given without a warm-up"):
        Experiment.load("digits", tuple(f"optimizer.schedule.{each}" for each in given))


def test_each_class_has_one_weight():
    says = r"loss.class_weights: 2 given; allowed is 10, one for each class \(model.out_features"
    with pytest.raises(SpecError, match=says):
        Experiment.load("digits", ("loss.class_weights=[1.0, 2.0]", "model.out_features=10"))
    with pytest.raises(SpecError, match=says):  # where the data knows
        prepare(Experiment.load("digits", ("loss.class_weights=[1.0, 2.0]",)))
    given = ("loss.kind=bce_with_logits", "loss.pos_weight=[1.0, 2.0]")
    with pytest.raises(SpecError, match=r"loss.pos_weight: 2 given; allowed is 1, one for each"):
        prepare(Experiment.load("breast-cancer", given))


def test_native_initial_values_are_the_frameworks_own():
    for field in ("init=he_normal", "bias_init=zeros"):
        with pytest.raises(SpecError, match=rf"model.{field.split('=')[0]}: '.*rng = 'shared'"):
            Experiment.load("digits", ("rng=native", f"model.{field}"))


def test_nesterov_needs_momentum():
    with pytest.raises(SpecError, match="optimizer: nesterov = true needs a momentum above 0"):
        Experiment.load("digits", ("optimizer.kind=sgd", "optimizer.nesterov=true"))


@pytest.mark.parametrize("override", ["seed", "=3", "a..b=1", ".a=1", "", "a.=1"])
def test_overrides_that_are_none(override):
    with pytest.raises(SpecError, match="allowed is field=value"):
        Experiment.load("digits", (override,))


def test_all_errors_at_once(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text(
        'sed = 1\nprecision = "half"\n[model]\nhidden = [0, "a"]\nactivation = 3\n'
        '[loss]\nkind = "l1"\n[optimizer]\nkind = "adam"\nlearning_rate = inf\nlr = 1\n'
        "[training]\nepochs = 1\nsteps = 2\n[data]\nbatch_size = -1\n"
    )
    with pytest.raises(SpecError) as caught:
        Experiment.load(file)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{file}: 10 errors"
    fields = [line.strip().partition(":")[0] for line in lines]
    assert sorted(fields) == [
        "data.batch_size",
        "loss.kind",
        "model.activation",
        "model.hidden[0]",
        "model.hidden[1]",
        "optimizer.learning_rate",
        "optimizer.lr",
        "precision",
        "sed",
        "training",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed = x\n", "not valid TOML: Invalid value (at line 1, column 8)"),
        ("seed = 1\nseed = 2", "not valid TOML: Cannot overwrite a value"),
        ("[model\n", "not valid TOML"),
        ("just words", "not valid TOML"),
    ],
)
def test_files_that_are_not_toml(tmp_path, text, says):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        Experiment.load(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9t\xe9"')
    (tmp_path / "folder.toml").mkdir()
    for name, says in [
        ("latin.toml", "not UTF-8 text"),
        ("folder.toml", "is a folder"),
        ("absent.toml", "no such file"),
    ]:
        with pytest.raises(SpecError, match=says):
            Experiment.load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "digit",
            "did you mean digits?; built-in are breast-cancer, diabetes, digits, lesson, tab",
        ),
        ("mnist", "no built-in experiment and no file has that name"),
        ("", "no built-in experiment"),
        ("specs/x", "no such file"),
    ],
)
def test_unknown_names(name, says):
    with pytest.raises(SpecError) as caught:
        Experiment.load(name)
    assert says in str(caught.value)


def test_with_values_names_the_field():
    with pytest.raises(SpecError, match=r"data\.batch_size: 0 given"):
        Experiment().with_values(data__batch_size=0)
    with pytest.raises(SpecError, match=r"optimizer\.eps: nan given"):
        Experiment().with_values(optimizer__eps=math.nan)
    with pytest.raises(SpecError, match=r"optimizer\.learning_rate: None given"):
        Experiment().with_values(optimizer__learning_rate=None)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["mlp", "adam", "sgd", "mse", "float64"])
)
KEYS = st.sampled_from(
    ["kind", "seed", "model", "hidden", "optimizer", "betas", "loss", "data", "source", "training"]
) | st.text(max_size=5)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(values=st.dictionaries(KEYS, TREES, max_size=4))
def test_any_value_is_an_experiment_or_a_spec_error(values):
    try:
        result = toml.replace(Experiment(), values, "spec")
    except SpecError:
        return
    assert Experiment.from_toml(toml.dump(result)) == result
