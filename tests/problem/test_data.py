"""From files and built-in data to a problem; everything a framework would swallow is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import DataError, FrameworkMissing, SpecError
from twofold.problem.data import prepare
from twofold.spec.experiment import Experiment

ROWS = 10
INPUTS = np.arange(20.0).reshape(ROWS, 2) ** 1.5
LABELS = np.arange(ROWS) % 3


def spec(source="synthetic", loss="cross_entropy", **values):
    return Experiment().with_values(data__source=str(source), loss__kind=loss, **values)


def npz(folder, **arrays):
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def csv(folder, text):
    path = folder / "data.csv"
    path.write_text(text)
    return path


def message(experiment, error=DataError):
    with pytest.raises(error) as caught:
        prepare(experiment)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "rows", "sizes", "test_rows"),
    [
        ("lesson", 10_000, (20, 128, 128, 3), 0),
        ("digits", 1797, (64, 64, 64, 10), 359),
        ("breast-cancer", 569, (30, 32, 1), 114),
        ("diabetes", 442, (10, 32, 1), 88),
    ],
)
def test_the_built_in_experiments(name, rows, sizes, test_rows):
    problem = prepare(Experiment.load(name))
    linear = [each for each in problem.layers if each.number is not None]
    assert (problem.in_features, *(each.width_after for each in linear)) == sizes
    assert problem.test.rows == test_rows
    assert problem.train.rows == rows - test_rows
    labels = problem.experiment.loss.kind == "cross_entropy"
    for batch in (problem.train, problem.test):
        assert batch.inputs.dtype == np.float32
        assert batch.targets.dtype == (np.int64 if labels else np.float32)
        assert batch.targets.shape == ((batch.rows,) if labels else (batch.rows, 1))


def test_digits_are_scikit_learns_digits_standardised_by_the_training_rows():
    from sklearn.datasets import load_digits

    problem = prepare(Experiment.load("digits", ("precision=float64",)))
    labels = load_digits().target
    assert sorted(np.bincount(labels)) == sorted(
        np.bincount(problem.train.targets) + np.bincount(problem.test.targets)
    )
    train = problem.train.inputs
    varies = train.std(axis=0) > 0
    assert varies.sum() > 55
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(train.std(axis=0)[varies], 1, rtol=1e-12)
    np.testing.assert_array_equal(problem.test.inputs[:, ~varies], 0)


def test_the_split_is_a_partition_in_the_data_order(tmp_path):
    inputs = np.arange(30.0)[:, None]
    path = npz(tmp_path, inputs=inputs, targets=inputs[:, 0])
    options = {"data__standardize": False, "precision": "float64", "data__test_fraction": 0.3}
    problem = prepare(spec(path, "mse", **options))
    train, test = problem.train.inputs[:, 0], problem.test.inputs[:, 0]
    assert len(test) == 9
    np.testing.assert_array_equal(np.sort([*train, *test]), np.arange(30))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    np.testing.assert_array_equal(problem.train.targets[:, 0], train)
    other = prepare(spec(path, "mse", seed=1, **options))
    assert not np.array_equal(other.test.inputs[:, 0], test)


def test_standardised_by_hand(tmp_path):
    inputs = np.array([[1.0, 7.1], [3.0, 7.1]])
    path = npz(tmp_path, inputs=inputs, targets=np.array([10.0, 30.0]))
    problem = prepare(spec(path, "mse", data__test_fraction=0.0))
    np.testing.assert_array_equal(problem.train.inputs, [[-1, 0], [1, 0]])
    np.testing.assert_array_equal(problem.train.targets, [[-1], [1]])


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_squares_neither_overflow_nor_vanish(tmp_path, scale):
    plain, scaled = (
        prepare(spec(npz(tmp_path, inputs=INPUTS * factor, targets=LABELS), precision="float64"))
        for factor in (1.0, scale)
    )
    np.testing.assert_allclose(scaled.train.inputs, plain.train.inputs, rtol=1e-12)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(value=st.floats(-1e6, 1e6), rows=st.integers(2, 40), seed=st.integers(0, 5))
def test_a_constant_feature_becomes_zero(value, rows, seed, tmp_path_factory):
    inputs = np.stack([np.full(rows, value), np.arange(rows)], axis=1)
    path = npz(tmp_path_factory.mktemp("data"), inputs=inputs, targets=np.arange(rows) % 2)
    problem = prepare(spec(path, seed=seed, data__test_fraction=0.0))
    np.testing.assert_array_equal(problem.train.inputs[:, 0], 0)
    assert np.isfinite(problem.train.inputs).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float32, np.bool_])
def test_whole_labels_of_any_type(tmp_path, dtype):
    labels = LABELS % 2
    path = npz(tmp_path, inputs=INPUTS, targets=labels.astype(dtype))
    problem = prepare(spec(path, data__test_fraction=0.0))
    np.testing.assert_array_equal(problem.train.targets, labels)
    assert problem.train.targets.dtype == np.int64


@pytest.mark.parametrize("labels", [LABELS - 1, LABELS + 1, LABELS * 10, LABELS * 10.0])
def test_whole_labels_that_do_not_count_from_zero_are_numbered_in_order(tmp_path, labels):
    path = npz(tmp_path, inputs=INPUTS, targets=labels)
    for classes in (None, 3):
        problem = prepare(spec(path, data__test_fraction=0.0, model__out_features=classes))
        np.testing.assert_array_equal(problem.train.targets, LABELS)
        names = tuple(str(int(each)) for each in sorted(set(labels)))
        assert problem.description.classes == names


def test_more_classes_than_the_labels_show_may_be_given(tmp_path):
    path = npz(tmp_path, inputs=INPUTS, targets=LABELS)
    assert prepare(spec(path, model__out_features=5)).out_features == 5


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (np.arange(ROWS) + 1, "column 0: 10 different whole numbers in 10 rows given; allowed are"),
        (LABELS + 0.5, "row 0 (counted from 0): 0.5 given; allowed are whole class labels"),
        (LABELS[:, None], "targets of shape (10, 1) given; allowed are class labels of shape"),
        (np.where(LABELS == 0, 1e300, LABELS), "label 1e+300 given"),
    ],
)
def test_labels_that_are_refused(tmp_path, targets, says):
    assert says in message(spec(npz(tmp_path, inputs=INPUTS, targets=targets)))


@pytest.mark.parametrize("labels", ["0", "7", "cat"])
def test_one_class_is_refused_with_its_column_and_what_to_do(tmp_path, labels):
    """The softmax of one logit is 1: loss and gradients are zero, whatever a model does."""
    rows = "".join(f"{value},{labels}\n" for value in range(10))
    said = message(spec(csv(tmp_path, f"a,kind\n{rows}"), data__target="kind"))
    assert f"column 'kind': the label {labels} in all 10 rows" in said
    assert "allowed are 2 classes or more" in said
    assert "data.target" in said
    assert "model.out_features" in said


def test_one_class_is_allowed_where_others_are_named_or_no_class_is_meant(tmp_path):
    path = npz(tmp_path, inputs=INPUTS, targets=np.zeros(ROWS, np.int64))
    assert prepare(spec(path, model__out_features=2)).out_features == 2
    assert prepare(spec(path, loss="bce_with_logits")).out_features == 1
    assert "model.out_features: 1 given" in message(spec(path, model__out_features=1))


def test_labels_outside_the_given_classes(tmp_path):
    text = message(spec(npz(tmp_path, inputs=INPUTS, targets=LABELS), model__out_features=2))
    assert "label 2 given; allowed is 0 to 1 (model.out_features = 2)" in text


@pytest.mark.parametrize(
    ("inputs", "targets", "loss", "says"),
    [
        (INPUTS[:, 0], LABELS, "mse", "inputs of shape (10,) given; allowed is (rows, in_feat"),
        (INPUTS[:, :0], LABELS, "mse", "inputs of shape (10, 0) given"),
        (INPUTS[:0], LABELS[:0], "mse", "no rows given; allowed is 1 row or more"),
        (INPUTS, LABELS[:4], "mse", "10 rows of inputs and 4 of targets given"),
        (INPUTS, LABELS[:, None, None], "mse", "targets of shape (10, 1, 1) given"),
        (INPUTS, np.zeros((ROWS, 0)), "mse", "targets of shape (10, 0) given"),
        (INPUTS + 1j, LABELS, "mse", "inputs of dtype complex128 given"),
        (INPUTS.astype(str), LABELS, "mse", "inputs of dtype <U"),
        (INPUTS, LABELS.astype(str), "mse", "targets are text, such as '0'; allowed for mse"),
        (INPUTS, LABELS.astype(object), "mse", "not a readable .npz of plain arrays"),
        (INPUTS, LABELS, "bce_with_logits", "row 2 (counted from 0), column 0: 2 given; allowed"),
        (INPUTS, LABELS - 1.0, "bce_with_logits", "row 0 (counted from 0), column 0: -1 given"),
    ],
)
def test_arrays_that_are_refused(tmp_path, inputs, targets, loss, says):
    assert says in message(spec(npz(tmp_path, inputs=inputs, targets=targets), loss))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(tmp_path, value):
    inputs = INPUTS.copy()
    inputs[4, 1] = value
    text = message(spec(npz(tmp_path, inputs=inputs, targets=LABELS)))
    assert f"inputs, row 4 (counted from 0), column 1: {value} given" in text
    targets = LABELS.astype(float)
    targets[7] = value
    for loss in ("cross_entropy", "mse", "bce_with_logits"):
        text = message(spec(npz(tmp_path, inputs=INPUTS, targets=targets), loss))
        assert f"targets, row 7 (counted from 0), column 0: {value} given" in text


def test_numbers_too_large_for_the_precision(tmp_path):
    path = npz(tmp_path, inputs=INPUTS * 1e300, targets=LABELS)
    text = message(spec(path, data__standardize=False))
    assert "too large for float32" in text
    wide = spec(path, data__standardize=False, precision="float64")
    assert prepare(wide).train.inputs.max() > 1e300


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model__in_features": 3}, "model.in_features: 3 given; allowed is 2, the columns of"),
        ({"model__out_features": 2}, "model.out_features: 2 given; allowed is 1"),
        ({"data__test_fraction": 0.01}, "data.test_fraction: 0.01 of 10 rows leaves no test rows"),
        ({"data__test_fraction": 0.99}, "data.test_fraction: 0.99 of 10 rows leaves no training"),
        (
            {"data__drop_last": True, "data__batch_size": 9},
            "data.batch_size: 9 given; allowed is 8 or less",
        ),
    ],
)
def test_sizes_that_do_not_fit(tmp_path, values, says):
    path = npz(tmp_path, inputs=INPUTS, targets=LABELS)
    assert says in message(spec(path, "mse", **values))


def test_files_that_cannot_be_read(tmp_path):
    assert "No such file" in message(spec(tmp_path / "absent.npz"))
    assert "No such file" in message(spec(tmp_path / "absent.csv", data__target="y"))
    (tmp_path / "folder.npz").mkdir()
    assert "Is a directory" in message(spec(tmp_path / "folder.npz"))
    bare = tmp_path / "bare.npz"
    with bare.open("wb") as file:
        np.save(file, INPUTS)
    assert "one bare array given" in message(spec(bare))
    for content in (b"", b"not a zip file", b"PK\x03\x04 broken"):
        broken = tmp_path / "broken.npz"
        broken.write_bytes(content)
        assert "not a readable .npz" in message(spec(broken))
    whole = npz(tmp_path, inputs=INPUTS, targets=LABELS).read_bytes()
    for cut in (len(whole) // 2, len(whole) - 10):
        broken.write_bytes(whole[:cut])
        assert "not a readable .npz" in message(spec(broken))


def test_an_npz_needs_both_arrays(tmp_path):
    text = message(spec(npz(tmp_path, inputs=INPUTS, labels=LABELS)))
    assert "no array 'targets'; the arrays there are: inputs, labels" in text


def test_an_npz_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    targets = np.array([Bomb()] * ROWS, dtype=object)
    assert "allow_pickle" in message(spec(npz(tmp_path, inputs=INPUTS, targets=targets)))


CSV = "a,species,b\n1,cat,0.5\n2,ant,1.5\n3,bee,2.5\n4,cat,3.5\n"


def test_text_classes_are_numbered_in_sorted_order(tmp_path):
    experiment = spec(csv(tmp_path, CSV), data__target="species", data__test_fraction=0.0)
    problem = prepare(experiment.with_values(data__standardize=False))
    np.testing.assert_array_equal(problem.train.targets, [2, 0, 1, 2])
    np.testing.assert_array_equal(
        problem.train.inputs, np.array([[1, 0.5], [2, 1.5], [3, 2.5], [4, 3.5]], np.float32)
    )
    assert problem.in_features == 2
    assert problem.out_features == 3


def test_a_numeric_column_of_a_csv_is_a_regression_target(tmp_path):
    path = csv(tmp_path, "x,y\n1,2.5\n2,3.5\n")
    options = {"data__target": "y", "data__test_fraction": 0.0, "data__standardize": False}
    problem = prepare(spec(path, "mse", **options))
    np.testing.assert_array_equal(problem.train.targets, np.array([[2.5], [3.5]], np.float32))


@pytest.mark.parametrize(
    ("text", "target", "loss", "says"),
    [
        (CSV, "specie", "cross_entropy", "did you mean species?"),
        (CSV, "b", "mse", "column 'species', row 0 (counted from 0): 'cat' given; allowed are num"),
        (CSV, "species", "mse", "targets are text, such as 'cat'; allowed for mse are numbers"),
        (CSV, "species", "bce_with_logits", "are numbers from 0 to 1"),
        ("x,y\n1,0\n,1\n", "y", "cross_entropy", "inputs, row 1 (counted from 0), column 'x': nan"),
        ("x,y\n1,0\n2,\n", "y", "cross_entropy", "targets, row 1 (counted from 0), column 'y': na"),
        ("x,y\n1,a\n2,\n", "y", "cross_entropy", "row 1 (counted from 0), column 'y': nothing"),
        ("x,y\n1,0\n2,1,7\n", "y", "mse", "not a readable .csv"),
        ("x,y\n1,0,7\n2,1,7\n", "y", "mse", "not a readable .csv"),
        ("x,y\nTrue,1\n,0\n", "y", "mse", "inputs, row 1 (counted from 0), column 'x': nan"),
        ("x,y\n1,0\ninf,1\n", "y", "mse", "inputs, row 1 (counted from 0), column 'x': inf"),
        ("", "y", "mse", "not a readable .csv: No columns to parse"),
        ("x,y\n", "y", "mse", "no rows given"),
        ("y\n1\n2\n", "y", "mse", "inputs of shape (2, 0) given"),
        ("x,y\n1,2\n2,3\n", "y", "bce_with_logits", "column 'y': 2 given; allowed is 0 to 1"),
    ],
)
def test_csv_files_that_are_refused(tmp_path, text, target, loss, says):
    assert says in message(spec(csv(tmp_path, text), loss, data__target=target))


def test_a_csv_that_is_not_text(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"x,y\n\xff\xfe,1\n")
    assert "not a readable .csv" in message(spec(path, data__target="y"))


def test_fields_that_do_not_go_with_the_source(tmp_path):
    text = message(spec("digits", data__rows=5), SpecError)
    assert "data.rows: 5 given with data.source = 'digits'" in text
    text = message(spec("digits", data__target="y"), SpecError)
    assert "data.target: 'y' given with data.source = 'digits'" in text
    text = message(spec(csv(tmp_path, CSV)), SpecError)
    assert "data.target: nothing given; allowed is the name of the column to predict: a, sp" in text


def test_synthetic_data_has_a_largest_size():
    for values in ({"data__rows": 10**12}, {"model__in_features": 10**30}):
        assert "allowed is at most 1,000,000,000 numbers" in message(spec(**values), SpecError)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("~nobody-here/data.npz", "No such file"),
        ("nul\0.npz", "null byte"),
        ("nul\0.csv", "null byte"),
        ("digit", "did you mean digits?"),
        (
            "digit",
            "allowed is synthetic, synthetic-categories, digits, breast-cancer, diabetes, or a ",
        ),
    ],
)
def test_unknown_sources(source, says):
    assert says in message(spec(source))


@pytest.mark.parametrize(
    ("module", "source", "package"),
    [("sklearn.datasets", "digits", "scikit-learn"), ("pandas", "data.csv", "pandas")],
)
def test_a_missing_library_gives_the_command(module, source, package, tmp_path, monkeypatch):
    csv(tmp_path, CSV)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    target = {"data__target": "species"} if source.endswith("csv") else {}
    text = message(spec(source, **target), FrameworkMissing)
    assert f"{package} is not installed; install with: pip install 'twofold[data]'" in text


def test_synthetic_defaults():
    problem = prepare(spec(data__test_fraction=0.0))
    assert problem.train.inputs.shape == (10_000, 20)
    assert problem.out_features == 3
    assert prepare(spec(loss="mse", data__rows=9)).out_features == 1
    assert prepare(spec(loss="bce_with_logits", data__rows=9)).out_features == 1


def test_synthetic_data_is_the_same_each_time_and_differs_by_seed():
    first, again, other = (prepare(spec(seed=seed, data__rows=40)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.inputs, again.train.inputs)
    np.testing.assert_array_equal(first.train.targets, again.train.targets)
    assert not np.array_equal(first.train.inputs, other.train.inputs)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "bce_with_logits"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_synthetic_data_can_be_learned(loss, seed):
    """Plain least squares from the training rows beats guessing on the test rows by far."""
    problem = prepare(spec(loss=loss, seed=seed, data__rows=4000, precision="float64"))
    train, test = problem.train, problem.test
    labels = loss == "cross_entropy"
    goal = np.eye(3)[train.targets] if labels else train.targets
    ones = np.ones((train.rows, 1))
    weights = np.linalg.lstsq(np.hstack([train.inputs, ones]), goal, rcond=None)[0]
    predicted = np.hstack([test.inputs, np.ones((test.rows, 1))]) @ weights
    if labels:
        correct = (predicted.argmax(axis=1) == test.targets).mean()
        assert correct > np.bincount(test.targets).max() / test.rows + 0.2
    elif loss == "mse":
        assert 1 - ((predicted - test.targets) ** 2).mean() / test.targets.var() > 0.5
    else:
        assert ((predicted > 0.5) == (test.targets > 0.5)).mean() > 0.75
