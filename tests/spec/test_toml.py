"""Spec files: what is loaded, overridden and written out again."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import SpecError
from twofold.spec import toml
from twofold.spec.experiment import (
    Adam,
    AdamW,
    BceWithLogits,
    CrossEntropy,
    Data,
    Experiment,
    Mlp,
    Mse,
    Sgd,
    Training,
)

SIZES = st.integers(1, 10**6)
POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)
NOT_NEGATIVE = st.floats(min_value=0, allow_infinity=False, allow_nan=False)
FRACTIONS = st.floats(min_value=0, max_value=1, exclude_max=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)
BETAS = st.tuples(FRACTIONS, FRACTIONS)
ADAM_FIELDS = {
    "learning_rate": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "betas": BETAS,
    "eps": POSITIVE,
}
MODELS = st.builds(
    Mlp,
    in_features=st.none() | SIZES,
    out_features=st.none() | SIZES,
    hidden=st.lists(SIZES, max_size=64).map(tuple),
    activation=st.sampled_from(
        ["relu", "tanh", "gelu", "gelu_tanh", "silu", "sigmoid", "identity"]
    ),
    dropout=FRACTIONS,
    bias=st.booleans(),
)
OPTIMIZERS = (
    st.builds(Sgd, learning_rate=POSITIVE, momentum=FRACTIONS, weight_decay=NOT_NEGATIVE)
    | st.just(Sgd(momentum=0.5, nesterov=True))
    | st.builds(Adam, **ADAM_FIELDS)
    | st.builds(AdamW, **ADAM_FIELDS)
)
EXPERIMENTS = st.builds(
    Experiment,
    name=TEXTS,
    seed=st.integers(0, 2**32 - 1),
    precision=st.sampled_from(["float32", "float64"]),
    device=st.sampled_from(["auto", "cpu", "cuda", "mps"]),
    rng=st.sampled_from(["shared", "native"]),
    model=MODELS,
    loss=st.sampled_from([CrossEntropy(), Mse(), BceWithLogits()]),
    optimizer=OPTIMIZERS,
    data=st.builds(
        Data,
        source=TEXTS,
        target=st.none() | TEXTS,
        rows=st.none() | SIZES,
        batch_size=SIZES,
        shuffle=st.booleans(),
        drop_last=st.booleans(),
        standardize=st.booleans(),
        test_fraction=FRACTIONS,
        validation_fraction=FRACTIONS,
    ),
    training=st.builds(Training, epochs=SIZES) | st.builds(Training, steps=SIZES),
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(experiment=EXPERIMENTS)
def test_writing_and_parsing_gives_the_experiment_back(experiment):
    text = toml.dump(experiment)
    assert Experiment.from_toml(text) == experiment
    assert toml.dump(Experiment.from_toml(text)) == text


def test_none_is_left_out_and_lists_of_numbers_stand_on_a_line():
    table = tomllib.loads(toml.dump(Experiment()))
    assert "in_features" not in table["model"]
    assert table["training"] == {"epochs": 10, "micro_batches": 1}
    assert "hidden = [128, 128]\n" in toml.dump(Experiment())


def test_the_built_in_experiments():
    losses = {name: Experiment.load(name).loss.kind for name in toml.builtin_names()}
    assert losses == {
        "breast-cancer": "bce_with_logits",
        "diabetes": "mse",
        "digits": "cross_entropy",
        "lesson": "cross_entropy",
        "tabular-categories": "cross_entropy",
        "tabular-mlp": "bce_with_logits",
        "tabular-resnet": "bce_with_logits",
    }
    for name in toml.builtin_names():
        assert Experiment.load(name).name == name
        assert toml.summary_line(name).endswith((".", "parameters."))


def test_the_lesson_is_the_lesson():
    lesson = Experiment.load("lesson")
    assert lesson.model == Mlp(in_features=20, hidden=(128, 128), out_features=3, dropout=0.2)
    assert lesson.optimizer == AdamW(learning_rate=1e-3, weight_decay=1e-2)
    assert (lesson.data.source, lesson.data.rows, lesson.data.batch_size) == (
        "synthetic",
        10_000,
        64,
    )


def test_overrides_are_toml_and_bare_words_are_text():
    changes = toml.parse_overrides(
        ["a=1", "b=1e-3", "c=true", "d=tanh", 'e="x y"', "f=[1, 2]", "g=a=b", "h=nan]", "i="]
    )
    assert changes == {
        "a": 1,
        "b": 1e-3,
        "c": True,
        "d": "tanh",
        "e": "x y",
        "f": [1, 2],
        "g": "a=b",
        "h": "nan]",
        "i": "",
    }


def test_an_override_cannot_smuggle_in_a_second_value():
    assert toml.parse_overrides(["seed=1\nname = 2"]) == {"seed": "1\nname = 2"}


def test_overrides_change_only_what_they_name():
    changed = Experiment.load("digits", ("data.batch_size=32", "model.hidden=[5]"))
    digits = Experiment.load("digits")
    assert changed.data == digits.data.model_copy(update={"batch_size": 32})
    assert changed.model == digits.model.model_copy(update={"hidden": (5,)})
    assert changed.optimizer == digits.optimizer


def test_an_override_of_a_section_that_the_file_leaves_out(tmp_path):
    file = tmp_path / "spec.toml"
    file.write_text("seed = 3\n")
    changed = Experiment.load(file, ["optimizer.learning_rate=0.5", "training.steps=2"])
    assert changed.optimizer == AdamW(learning_rate=0.5)
    assert changed.training == Training(steps=2)
    assert changed.seed == 3


def test_a_new_kind_keeps_shared_fields_and_drops_the_others():
    start = Experiment(optimizer=Adam(learning_rate=0.25, eps=0.125, betas=(0.5, 0.5)))
    changed = toml.replace(start, {"optimizer.momentum": 0.5, "optimizer.kind": "sgd"}, "spec")
    assert changed.optimizer == Sgd(learning_rate=0.25, momentum=0.5)


def test_the_same_kind_again_changes_nothing():
    digits = Experiment.load("digits")
    assert Experiment.load("digits", ("optimizer.kind=adamw",)) == digits


def test_setting_steps_takes_epochs_away_and_back():
    by_steps = Experiment.load("digits", ("training.steps=7",))
    assert by_steps.training == Training(steps=7)
    assert by_steps.with_values(training__epochs=2).training == Training(epochs=2)
    with pytest.raises(SpecError, match="give either epochs or steps; both given"):
        Experiment.load("digits", ("training.steps=7", "training.epochs=1"))


def test_replace_takes_sections_and_leaves_the_original():
    start = Experiment()
    changed = toml.replace(start, {"data": Data(rows=5), "optimizer": {"kind": "sgd"}}, "spec")
    assert changed.data == Data(rows=5)
    assert changed.optimizer == Sgd()
    assert start == Experiment()


def test_replace_with_none_leaves_a_field_to_the_data():
    lesson = Experiment.load("lesson")
    assert lesson.with_values(model__in_features=None).model.in_features is None


def test_a_path_is_relative_to_the_folder_of_the_spec(tmp_path, monkeypatch):
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "mine.toml").write_text('[data]\nsource = "../rows.csv"\ntarget = "y"\n')
    monkeypatch.chdir(folder)
    expected = str(tmp_path / "rows.csv")
    assert Experiment.load("mine.toml").data.source == expected
    monkeypatch.chdir(tmp_path)
    experiment = Experiment.load("specs/mine.toml")
    assert experiment.data.source == expected
    copy = tmp_path / "copy.toml"
    copy.write_text(toml.dump(experiment))
    assert Experiment.load(copy) == experiment


def test_another_source_takes_the_rows_of_synthetic_data_away():
    assert Experiment.load("lesson").data.rows == 10_000
    table = Experiment.load("lesson", ("data.source=mine.csv", "data.target=y"))
    assert table.data.rows is None
    other = Experiment.load("lesson", ("data.source=synthetic-categories",))
    assert other.data.rows == 10_000
    kept = Experiment.load("lesson", ("data.source=mine.csv", "data.rows=5"))
    assert kept.data.rows == 5  # asked for: refused where the data is prepared


def test_a_path_in_an_override_is_relative_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Experiment.load("digits", ("data.source=a.npz",)).data.source == str(tmp_path / "a.npz")
    assert Experiment.load("lesson", ("data.source=digits",)).data.source == "digits"


def test_the_schema_is_json_and_knows_every_field():
    schema = json.loads(json.dumps(toml.json_schema(Experiment)))
    assert set(schema["properties"]) == set(Experiment.model_fields)
    assert schema["$defs"]["Mlp"]["properties"]["dropout"]["exclusiveMaximum"] == 1
    assert schema["additionalProperties"] is False
