"""Tables as people have them: file types, options, columns, empty cells, texts and labels."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from twofold.errors import BadInput, DataError, SpecError
from twofold.problem.data import prepare
from twofold.problem.description import Categories, Filled
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment

AS_IT_STANDS = {"data__test_fraction": 0.0, "data__standardize": False, "precision": "float64"}


def prepared(path: Path, loss: str = "mse", **values: object) -> Problem:
    options = {**AS_IT_STANDS, "data__target": "y", **values}
    return prepare(Experiment().with_values(data__source=str(path), loss__kind=loss, **options))


def refused(path: Path, loss: str = "mse", **values: object) -> str:
    with pytest.raises(BadInput) as caught:
        prepared(path, loss, **values)
    return str(caught.value)


def written(folder: Path, text: str, name: str = "table.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


# reading: the same two rows in every type and notation


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("t.csv", "a,b,y\n0.5,1,2\n-1.25,3,4\n", {}),
        ("t.CSV", "a,b,y\n0.5,1,2\n-1.25,3,4\n", {}),
        ("t.tsv", "a\tb\ty\n0.5\t1\t2\n-1.25\t3\t4\n", {}),
        ("t.csv.gz", "a,b,y\n0.5,1,2\n-1.25,3,4\n", {}),
        ("t.tsv.gz", "a\tb\ty\n0.5\t1\t2\n-1.25\t3\t4\n", {}),
        ("t.csv", "a;b;y\n0,5;1;2\n-1,25;3;4\n", {"separator": ";", "decimal": ","}),
        ("t.csv", "# from a tool\na|b|y\n0.5|1|2\n-1.25|3|4\n", {"separator": "|", "comment": "#"}),
        ("t.tsv", "a,b,y\n0.5,1,2\n-1.25,3,4\n", {"separator": ","}),
    ],
)
def test_a_text_table_is_read(
    tmp_path: Path, name: str, text: str, options: dict[str, str]
) -> None:
    fields = {f"data__{option}": value for option, value in options.items()}
    problem = prepared(written(tmp_path, text, name), **fields)
    np.testing.assert_array_equal(problem.train.inputs, [[0.5, 1], [-1.25, 3]])
    np.testing.assert_array_equal(problem.train.targets, [[2], [4]])
    assert problem.description.inputs == ("a", "b")
    assert problem.description.targets == ("y",)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_an_encoding_is_named_and_read(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "größe,y\n1,2\n3,4\n", encoding=encoding)
    said = refused(path)
    assert "its bytes are not utf-8 text (byte " in said
    assert f"set data.encoding, such as '{encoding}'" in said
    assert prepared(path, data__encoding=encoding).description.inputs == ("größe",)


def test_parquet_is_read(tmp_path: Path) -> None:
    import pandas

    frame = pandas.DataFrame(
        {
            "a": [0.5, None, 2.0],
            "n": pandas.array([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "colour": pandas.Categorical(["red", "blue", "red"]),
            "y": ["yes", "no", "yes"],
        }
    )
    path = tmp_path / "table.parquet"
    frame.to_parquet(path)
    problem = prepared(path, "cross_entropy", data__missing="mean", data__categorical="one_hot")
    np.testing.assert_array_equal(
        problem.train.inputs, [[0.5, 1, 1, 0, 1], [1.25, 2, 0, 1, 0], [2, 3, 1, 0, 1]]
    )
    np.testing.assert_array_equal(problem.train.targets, [1, 0, 1])
    assert problem.description.inputs == ("a", "n", "flag", "colour=blue", "colour=red")
    assert problem.description.classes == ("no", "yes")


def test_what_a_parquet_file_may_not_hold(tmp_path: Path) -> None:
    import pandas

    path = tmp_path / "table.parquet"
    days = pandas.to_datetime(["2020-01-01", "2020-01-02"])
    pandas.DataFrame({"day": days, "lists": [[1], [2]], "y": [1.0, 2.0]}).to_parquet(path)
    assert "column 'day', row 0 (counted from 0): " in refused(path)
    assert "leave the column out with data.exclude = ['day']" in refused(path)
    assert "column 'lists'" in refused(path, data__exclude=["day"])
    assert "target column 'day' holds datetime64" in refused(
        path, data__target="day", data__exclude=["lists"]
    )
    path.write_bytes(b"PAR1 and no more")
    assert "not a readable .parquet" in refused(path)


# what a table looks like, and the option that reads it


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a;b;y\n1;2;3\n4;5;6\n", "looks separated by ';': set data.separator = ';'"),
        ("a\tb\ty\n1\t2\t3\n", "looks separated by '\\t': set data.separator = '\\t'"),
        (
            "a;b;y\n0,5;1,5;1\n0,25;2,5;0\n",
            "looks separated by ';', and its numbers look as if written with a decimal comma: "
            "set data.separator = ';' and data.decimal = ','",
        ),
        (
            "# a tool wrote this\na,b,y\n1,2,3\n4,5,6\n",
            "looks as if lines that begin with '#' are remarks: set data.comment = '#'",
        ),
        ("a,b,y\n1,2,3\n4,5,6,7\n", "line 3 has 4 fields, the lines above it 3"),
        ("a,b,y\n1,2,3,4\n4,5,6,7\n", "its rows have more fields than its first line has names"),
    ],
)
def test_a_message_names_what_was_found_and_the_option(
    tmp_path: Path, text: str, says: str
) -> None:
    said = refused(written(tmp_path, text))
    assert says in said
    assert "index_col" not in said


def test_a_decimal_comma_is_no_category(tmp_path: Path) -> None:
    path = written(tmp_path, "a;y\n0,5;1\n0,25;0\n")
    said = refused(path, data__separator=";", data__categorical="one_hot")
    assert "column 'a', row 0 (counted from 0): '0,5' given" in said
    assert "set data.decimal = ','" in said


def test_the_hint_of_a_wrong_target_is_the_separator_not_a_neighbour(tmp_path: Path) -> None:
    said = refused(written(tmp_path, "ay;y\n1;2\n"))
    assert "data.target: 'y' given; allowed is a column of" in said
    assert said.endswith("ay;y; looks separated by ';': set data.separator = ';'")


@pytest.mark.parametrize("name", ["data.xlsx", "folder/data.json", "data.csv.zip"])
def test_the_file_type_is_named_first(name: str) -> None:
    said = refused(Path(name))
    assert said.startswith(f"data.source: '{name}' given, a file of type .")
    assert "allowed are files of type .csv, .tsv, .csv.gz, .tsv.gz, .parquet, .npz" in said
    assert "diabetes" not in said


@pytest.mark.parametrize("field", ["target", "columns", "exclude", "separator", "comment"])
def test_options_of_tables_are_refused_elsewhere(tmp_path: Path, field: str) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, inputs=np.ones((2, 1)), targets=np.ones(2))
    value = ["x"] if field in ("columns", "exclude") else ";"
    options = {"data__target": None, f"data__{field}": value}
    with pytest.raises(SpecError, match=rf"data.{field}: .* allowed with a table of type \.csv"):
        prepared(path, **options)


# columns


TWO_TARGETS = "a,b,gpp,c,et\n1,2,3,4,5\n6,7,8,9,10\n"


def test_several_targets_of_a_table(tmp_path: Path) -> None:
    problem = prepared(written(tmp_path, TWO_TARGETS), data__target=["et", "gpp"])
    np.testing.assert_array_equal(problem.train.inputs, [[1, 2, 4], [6, 7, 9]])
    np.testing.assert_array_equal(problem.train.targets, [[5, 3], [10, 8]])
    assert problem.out_features == 2
    assert problem.description.inputs == ("a", "b", "c")
    assert problem.description.targets == ("et", "gpp")


def test_columns_and_exclude(tmp_path: Path) -> None:
    path = written(tmp_path, TWO_TARGETS)
    problem = prepared(path, data__target="gpp", data__exclude=["et"])
    np.testing.assert_array_equal(problem.train.inputs, [[1, 2, 4], [6, 7, 9]])
    problem = prepared(path, data__target="gpp", data__columns=["c", "a"])
    np.testing.assert_array_equal(problem.train.inputs, [[4, 1], [9, 6]])
    assert "data.exclude: 'ett' given" in refused(path, data__target="et", data__exclude=["ett"])
    said = refused(path, data__target="gpp", data__columns=["aa"])
    assert "data.columns: 'aa' given; allowed is a column of" in said
    assert said.endswith("did you mean a?")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"target": ["a", "a"]}, "'a' is named twice, in target"),
        ({"target": "a", "exclude": ["a"]}, "'a' is named twice, in target and exclude"),
        ({"columns": ["a"], "exclude": ["a"]}, "'a' is named twice, in columns and exclude"),
        ({"target": 3}, "data.target: 3 given; allowed is the name of a column, or a list"),
        ({"decimal": ";"}, "data.decimal: ';' given; allowed is '.' or ','"),
        ({"decimal": ",", "source": "x.csv"}, "which also separates the fields; set separator"),
        ({"separator": ";;"}, "data.separator: ';;' given; allowed is one character"),
        ({"encoding": "utf-88"}, "data.encoding: 'utf-88' given; allowed is the name of an enc"),
        ({"missing": "zero"}, "data.missing: 'zero' given; allowed is refuse, drop, mean, med"),
        ({"categorical": "hashed"}, "'hashed' given; allowed is refuse, one_hot, embedding"),
    ],
)
def test_options_that_are_refused(data: dict[str, object], says: str) -> None:
    values = {f"data__{field}": value for field, value in data.items()}
    with pytest.raises(SpecError) as caught:
        Experiment().with_values(**values)
    assert says in str(caught.value)


def test_a_spec_with_all_options_is_the_same_after_toml() -> None:
    experiment = Experiment().with_values(
        data__source="x.tsv",
        data__target=["a", "b"],
        data__exclude=["c"],
        data__separator="\t",
        data__decimal=",",
        data__encoding="cp1252",
        data__comment="#",
        data__missing="median",
        data__categorical="one_hot",
    )
    assert Experiment.from_toml(experiment.to_toml()) == experiment


def with_index(numbers: list[int]) -> str:
    rows = "".join(f"{number},{number % 3},{number % 2}\n" for number in numbers)
    return f",a,y\n{rows}"


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        (list(range(6)), "counts the rows from 0"),
        (list(range(1, 7)), "counts the rows from 1"),
        ([8, 2, 5, 9, 0, 4], "numbers the rows"),
    ],
)
def test_a_nameless_index_column_is_refused(tmp_path: Path, numbers: list[int], found: str) -> None:
    path = written(tmp_path, with_index(numbers))
    said = refused(path, "cross_entropy")
    assert f"the first column has no name and {found}" in said
    assert "leave it out with data.exclude = ['Unnamed: 0']" in said
    without = prepared(path, "cross_entropy", data__exclude=["Unnamed: 0"])
    assert without.description.inputs == ("a",)
    wanted = prepared(path, "cross_entropy", data__columns=["Unnamed: 0"])
    np.testing.assert_array_equal(wanted.train.inputs[:, 0], numbers)


def test_a_nameless_column_of_measurements_is_an_input(tmp_path: Path) -> None:
    problem = prepared(written(tmp_path, ",y\n1,2\n1,3\n"))
    np.testing.assert_array_equal(problem.train.inputs, [[1], [1]])


def test_a_column_that_tells_the_label_alone_is_named(tmp_path: Path) -> None:
    """An identifier in a table sorted by its labels; noise beside it tells nothing."""
    noise = np.random.default_rng(0).normal(size=40)
    lines = [f"{100 + i},{noise[i]},{'uv'[i // 20]},{i // 20}" for i in range(40)]
    path = written(tmp_path, "id,noise,letter,y\n" + "\n".join(lines) + "\n")
    for loss in ("cross_entropy", "bce_with_logits"):
        problem = prepared(path, loss, data__categorical="one_hot")
        assert problem.description.telling == ("id", "letter")


def test_a_column_that_is_the_target_is_named_and_a_small_table_names_none(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).normal(size=(40, 2))
    lines = [f"{2 * y - 3},{x + y},{y}" for x, y in numbers.tolist()]
    path = written(tmp_path, "twice,near,y\n" + "\n".join(lines) + "\n")
    assert prepared(path).description.telling == ("twice",)
    small = written(tmp_path, "a,y\n1,0\n2,0\n3,1\n4,1\n", "small.csv")
    assert prepared(small, "cross_entropy").description.telling == ()


# empty cells

GAPS = "a,b,y\n1,10,0\n,20,1\n3,NA,0\n8,40,1\n"


def test_empty_cells_are_refused_with_their_number_and_the_ways_out(tmp_path: Path) -> None:
    said = refused(written(tmp_path, GAPS))
    assert "inputs, row 1 (counted from 0), column 'a': nan given" in said
    assert "2 empty cells in 2 of 4 rows" in said
    assert "set data.missing = 'drop', 'mean' or 'median'" in said
    said = refused(written(tmp_path, "a,b,y\n1,,0\n2,,1\n"))
    assert "column 'b' is empty in all" in said


def test_rows_with_empty_cells_are_dropped(tmp_path: Path) -> None:
    problem = prepared(written(tmp_path, GAPS), data__missing="drop")
    np.testing.assert_array_equal(problem.train.inputs, [[1, 10], [8, 40]])
    np.testing.assert_array_equal(problem.train.targets, [[0], [1]])
    assert problem.description.dropped_rows == 2
    said = refused(written(tmp_path, "a,b,y\n1,,0\n2,,1\n"), data__missing="drop")
    assert "data.missing = 'drop' leaves none, and column 'b' is empty in all" in said


@pytest.mark.parametrize(("rule", "a", "b"), [("mean", 4.0, 70 / 3), ("median", 3.0, 20.0)])
def test_empty_cells_are_filled_in(tmp_path: Path, rule: str, a: float, b: float) -> None:
    problem = prepared(written(tmp_path, GAPS), data__missing=rule)
    np.testing.assert_array_equal(problem.train.inputs, [[1, 10], [a, 20], [3, b], [8, 40]])
    assert problem.description.filled == (Filled("'a'", 1, a), Filled("'b'", 1, b))
    assert problem.description.dropped_rows == 0


def test_what_is_filled_in_comes_from_training_rows_only(tmp_path: Path) -> None:
    """Test rows hold a million more, and yet the number filled in is that of the others."""
    lines = [f"{'' if i % 5 == 0 else i},{i}" for i in range(40)]
    whole = written(tmp_path, "a,y\n" + "\n".join(lines) + "\n")
    options = {"data__missing": "mean", "data__test_fraction": 0.5}
    before = prepared(whole, **options)
    rows = before.train.targets[:, 0].astype(int)
    test_rows = set(before.test.targets[:, 0].astype(int))
    by_hand = np.mean([i for i in rows if i % 5])
    assert before.description.filled == (Filled("'a'", 8, pytest.approx(by_hand, rel=1e-14)),)
    lines = [f"{'' if i % 5 == 0 else i + 10**6 * (i in test_rows)},{i}" for i in range(40)]
    after = prepared(written(tmp_path, "a,y\n" + "\n".join(lines) + "\n"), **options)
    assert after.description.filled == before.description.filled


def test_an_empty_target_is_never_filled_in(tmp_path: Path) -> None:
    path = written(tmp_path, "a,y\n1,2\n3,\n5,6\n")
    for rule in ("refuse", "mean", "median"):
        said = refused(path, data__missing=rule)
        assert "targets, row 1 (counted from 0), column 'y': nan given" in said
        assert "set data.missing = 'drop'" in said
    np.testing.assert_array_equal(prepared(path, data__missing="drop").train.targets, [[2], [6]])


def test_a_column_that_is_empty_in_training_has_no_mean(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,y\n1,,0\n2,,1\n")
    assert "column 'b': empty in all 2 training rows" in refused(path, data__missing="mean")


def test_empty_cells_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, inputs=[[1.0], [np.nan], [3.0]], targets=[1.0, 2.0, 3.0])
    problem = prepared(path, data__missing="mean", data__target=None)
    np.testing.assert_array_equal(problem.train.inputs, [[1], [2], [3]])


def test_an_infinite_number_is_not_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "a,y\n1,2\ninf,3\n")
    assert "column 'a': inf given" in refused(path, data__missing="drop")


# texts

COLOURS = "colour,x,y\nred,1,0\nNA,2,1\nblue,3,0\nred,4,1\n"


def test_a_column_of_text_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    said = refused(written(tmp_path, COLOURS))
    assert "column 'colour', row 0 (counted from 0): 'red' given; allowed are numbers" in said
    assert "set data.categorical = 'one_hot'" in said
    assert "data.exclude = ['colour']" in said


def test_texts_become_inputs_of_zero_and_one(tmp_path: Path) -> None:
    """Also "NA", which is a text like any other in a column of texts."""
    problem = prepared(written(tmp_path, COLOURS), data__categorical="one_hot")
    np.testing.assert_array_equal(
        problem.train.inputs,
        [[0, 0, 1, 1], [1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 1, 4]],
    )
    assert problem.description.inputs == ("colour=NA", "colour=blue", "colour=red", "x")
    assert problem.description.one_hot == (Categories("colour", ("NA", "blue", "red")),)
    assert problem.in_features == 4


def test_zeros_and_ones_are_not_standardized(tmp_path: Path) -> None:
    options = {"data__categorical": "one_hot", "data__standardize": True}
    problem = prepared(written(tmp_path, "c,x,y\nu,1,10\nv,3,30\n"), **options)
    np.testing.assert_array_equal(problem.train.inputs, [[1, 0, -1], [0, 1, 1]])


def test_texts_of_test_rows_alone_are_counted_and_all_zero(tmp_path: Path) -> None:
    lines = ["u,0", "v,1"] * 10
    path = written(tmp_path, "c,y\n" + "\n".join(lines) + "\n")
    options = {"data__categorical": "one_hot", "data__test_fraction": 0.25}
    values = "\n".join(f"w{i},{i}" for i in range(20))
    rows = prepared(written(tmp_path, f"c,y\n{values}\n", "rows.csv"), **options)
    new = {int(i) for i in rows.test.targets[:2, 0]}
    lines = [f"{'new' if i in new else 'uv'[i % 2]},{i}" for i in range(20)]
    path = written(tmp_path, "c,y\n" + "\n".join(lines) + "\n")
    problem = prepared(path, **options)
    assert problem.description.one_hot == (Categories("c", ("u", "v"), (("new", 2),)),)
    where = np.isin(problem.test.targets[:, 0], list(new))
    np.testing.assert_array_equal(problem.test.inputs[where], 0)
    np.testing.assert_array_equal(problem.test.inputs[~where].sum(axis=1), 1)


def test_an_empty_cell_among_texts(tmp_path: Path) -> None:
    path = written(tmp_path, "c,y\nu,1\n,2\nv,3\n")
    options = {"data__categorical": "one_hot"}
    assert "column 'c': nothing given" in refused(path, **options)
    problem = prepared(path, data__missing="mean", **options)
    np.testing.assert_array_equal(problem.train.inputs, [[1, 0], [0, 0], [0, 1]])
    assert problem.description.filled == (Filled("'c'", 1, None),)
    problem = prepared(path, data__missing="drop", **options)
    np.testing.assert_array_equal(problem.train.targets, [[1], [3]])


# labels and units


def test_texts_of_a_label_column_are_read_as_they_stand(tmp_path: Path) -> None:
    """ "NA" is a region, "None" and "nan" are words; only an empty cell is missing."""
    path = written(tmp_path, "a,y\n1,NA\n2,EU\n3,None\n4,nan\n5,NA\n")
    problem = prepared(path, "cross_entropy")
    np.testing.assert_array_equal(problem.train.targets, [1, 0, 2, 3, 1])
    assert problem.description.classes == ("EU", "NA", "None", "nan")
    said = refused(written(tmp_path, "a,y\n1,NA\n2,\n"), "cross_entropy")
    assert "row 1 (counted from 0), column 'y': nothing given; allowed are class labels" in said


def test_whole_numbers_are_relabelled_and_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a,y\n1,30\n2,10\n3,20\n4,10\n5,20\n6,30\n")
    problem = prepared(path, "cross_entropy")
    np.testing.assert_array_equal(problem.train.targets, [2, 0, 1, 0, 1, 2])
    assert problem.description.classes == ("10", "20", "30")
    again = prepare(problem.experiment)  # out_features is known now
    np.testing.assert_array_equal(again.train.targets, problem.train.targets)
    assert again.description.classes == problem.description.classes
    said = refused(path, "cross_entropy", model__out_features=2)
    assert "label 30 given; allowed is 0 to 1 (model.out_features = 2)" in said
    assert "3 found: set model.out_features to 3" in said


def test_more_texts_than_classes_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a,y\n1,u\n2,v\n3,w\n")
    said = refused(path, "cross_entropy", model__out_features=2)
    assert "row 2 (counted from 0): label w given" in said


def test_numbers_to_predict_are_no_labels(tmp_path: Path) -> None:
    said = refused(written(tmp_path, "a,y\n1,30\n2,10\n3,20\n"), "cross_entropy")
    assert "column 'y': 3 different whole numbers in 3 rows given" in said
    assert "use loss.kind = 'mse' to predict numbers" in said


def test_two_texts_are_a_yes_or_no_question(tmp_path: Path) -> None:
    path = written(tmp_path, "a,y\n1,yes\n2,no\n3,yes\n")
    problem = prepared(path, "bce_with_logits")
    np.testing.assert_array_equal(problem.train.targets, [[1], [0], [1]])
    assert problem.description.classes == ("no", "yes")
    three = written(tmp_path, "a,y\n1,yes\n2,no\n3,maybe\n")
    assert "or two texts" in refused(three, "bce_with_logits")


def test_the_scaling_gives_original_units_back(tmp_path: Path) -> None:
    path = written(tmp_path, "a,k,y,z\n1,7,100,5\n3,7,300,5\n8,7,900,5\n")
    options = {"data__standardize": True, "data__target": ["y", "z"]}
    problem = prepared(path, **options)
    scaling, inputs = problem.description.target_scaling, problem.description.input_scaling
    assert scaling is not None
    assert inputs is not None
    np.testing.assert_allclose(scaling.mean, [1300 / 3, 5], rtol=1e-15)
    np.testing.assert_allclose(scaling.scale, [np.std([100, 300, 900]), 1], rtol=1e-15)
    back = scaling.original(problem.train.targets)
    np.testing.assert_allclose(back, [[100, 5], [300, 5], [900, 5]], rtol=1e-14)
    back = inputs.original(problem.train.inputs)
    np.testing.assert_allclose(back, [[1, 7], [3, 7], [8, 7]], rtol=1e-14)


def test_built_in_data_has_its_names() -> None:
    description = prepare(Experiment.load("breast-cancer")).description
    assert description.inputs[0] == "mean radius"
    assert description.classes == ("malignant", "benign")
    assert prepare(Experiment.load("digits")).description.classes == tuple("0123456789")
    assert prepare(Experiment.load("diabetes")).description.classes == ()


def test_a_damaged_table_is_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    whole = gzip.compress(b"a,y\n" + b"1,2\n" * 1000)
    for content in (b"", b"no gzip", whole[: len(whole) // 2], whole[:5]):
        path.write_bytes(content)
        with pytest.raises(DataError):
            prepared(path)


def test_parquet_whose_notes_for_pandas_are_damaged_is_refused(tmp_path: Path) -> None:
    """An attack found it: pandas raised KeyError for a column's name."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"x": [1.0, 2.0, 3.0, 4.0], "y": [0.0, 1.0, 0.0, 1.0]})
    notes = {"index_columns": [{"kind": "range"}], "columns": [], "column_indexes": []}
    path = tmp_path / "t.parquet"
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(notes)}), path)
    experiment = Experiment.load("digits").with_values(
        data__source=str(path), data__target="y", loss__kind="mse"
    )
    with pytest.raises(DataError, match=r"not a readable \.parquet"):
        prepare(experiment)


def test_a_mean_that_is_too_large_fills_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1.7e308,0\n1.7e308,1\n,0\n1.0,1\n")
    experiment = Experiment.load("digits").with_values(
        data={"source": str(path), "target": "y", "missing": "mean", "shuffle": False},
        data__test_fraction=0.0,
        loss__kind="mse",
    )
    with pytest.raises(DataError, match="column 'x': its mean is too large for float64"):
        prepare(experiment)
