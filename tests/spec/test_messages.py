"""Every bad spec: one message, with the field, what was given and what is allowed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import SpecError
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
        toml.load(file)
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
        toml.load(file)
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
            toml.load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("digit", "did you mean digits?; built-in are breast-cancer, diabetes, digits, lesson"),
        ("mnist", "no built-in experiment and no file has that name"),
        ("", "no built-in experiment"),
        ("specs/x", "no such file"),
    ],
)
def test_unknown_names(name, says):
    with pytest.raises(SpecError) as caught:
        toml.load(name)
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
        result = toml.replace(Experiment(), values)
    except SpecError:
        return
    assert toml.parse(toml.dump(result)) == result
