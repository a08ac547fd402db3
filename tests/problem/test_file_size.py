"""Data files that are small and declare, or unpack to, far more; and members that are no arrays."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from twofold.errors import DataError, SpecError
from twofold.problem import file_size
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment
from twofold.timing.memory import forget_peak, peak_memory_bytes

LABELS = np.arange(10) % 2
GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (10, 1)}"


def read(path: Path, **values: object) -> Problem:
    return prepare(Experiment().with_values(data__source=str(path), **values))


def message(path: Path, **values: object) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **values)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def npy(header: str, body: bytes = b"\0" * 80) -> bytes:
    """An array file of version 1.0 with any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def npz(path: Path, inputs: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """An archive with these bytes as inputs and good targets."""
    labels = "{'descr': '<i8', 'fortran_order': False, 'shape': (10,)}"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("inputs.npy", inputs)
        archive.writestr("targets.npy", npy(labels, LABELS.astype("<i8").tobytes()))
    return path


HEADERS: Mapping[str, tuple[str, str]] = {
    "1e11 numbers": (GOOD.replace("10, 1", "100000000000, 1"), "100,000,000,000 numbers in it;"),
    "numbers without bytes": (
        "{'descr': '|V0', 'fortran_order': False, 'shape': (100000000000,)}",
        "100,000,000,000 numbers in it;",
    ),
    "texts of 1.6 GB": (GOOD.replace("<f8", "<U400000000"), "2,000,000,000 numbers in it;"),
    "no number has so many digits": (
        GOOD.replace("10, 1", "9" * 4000 + ", 1"),
        "more than 10**30 numbers",
    ),
    "more than it has": (GOOD.replace("10, 1", "11, 1"), "declares float64 (11, 1), but has 80 b"),
    "less than it has": (GOOD.replace("10, 1", "9, 1"), "declares float64 (9, 1), but has 80 b"),
    "below zero": (GOOD.replace("10, 1", "-1, 1"), "inputs has the shape (-1, 1)"),
    "a truth value": (GOOD.replace("10, 1", "True, 1"), "inputs has the shape (True, 1)"),
    "an open bracket": (GOOD.replace(")}", ""), "no header of an array"),
    "an indent": ("  {'a': 1\n b", "no header of an array"),
    "brackets": ("(" * 4000 + ")" * 4000, "no header of an array"),
    "no such type": (GOOD.replace("<f8", "<q99"), "no header of an array"),
    "objects": (GOOD.replace("<f8", "|O"), "holds Python objects, which are never loaded"),
}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.timeout(5)
def test_a_header_that_cannot_be_true_is_refused(tmp_path: Path, kind: str) -> None:
    header, words = HEADERS[kind]
    assert words in message(npz(tmp_path / "a.npz", npy(header)))


def test_the_good_header_is_read(tmp_path: Path) -> None:
    body = np.arange(10.0).tobytes()
    problem = read(npz(tmp_path / "a.npz", npy(GOOD, body)), data__standardize=False)
    assert sorted([*problem.train.inputs[:, 0], *problem.test.inputs[:, 0]]) == list(range(10))


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    assert "no header of an array" in message(npz(tmp_path / "a.npz", b"hello"))


def _encrypted(info: bytearray, at: int) -> None:
    info[at + 6] |= 1


def _method_99(info: bytearray, at: int) -> None:
    info[at + 8] = 99


@pytest.mark.parametrize(
    ("change", "words"),
    [(_encrypted, "is encrypted"), (_method_99, "is compressed by method 99")],
)
def test_zip_features_that_numpy_never_writes(
    tmp_path: Path, change: Callable[[bytearray, int], None], words: str
) -> None:
    path = npz(tmp_path / "a.npz", npy(GOOD))
    data = bytearray(path.read_bytes())
    for signature, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        at = data.find(signature)
        while at >= 0:
            change(data, at + shift)
            at = data.find(signature, at + 1)
    path.write_bytes(data)
    assert words in message(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused(tmp_path: Path, method: int) -> None:
    assert f"compressed by method {method}" in message(npz(tmp_path / "a.npz", npy(GOOD), method))


def test_a_damaged_number_is_seen(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", npy(GOOD), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.find(b"NUMPY") + 100] ^= 1
    path.write_bytes(data)
    assert "Bad CRC-32" in message(path)


def test_a_zip_bomb_is_refused_unread(tmp_path: Path) -> None:
    """128 MB of zeros in 125 kB; beyond the limit not one of them is unpacked."""
    header = GOOD.replace("10, 1", "16000000, 1")
    path = npz(tmp_path / "bomb.npz", npy(header, bytes(128_000_000)))
    assert path.stat().st_size < 200_000
    forget_peak()
    before = peak_memory_bytes()
    text = message(path)
    assert "inputs: 16,000,000 numbers in it; allowed are at most 10,000,000;" in text
    assert text.endswith("set data.most_values = 16000000")
    after = peak_memory_bytes()
    assert before is not None
    assert after is not None
    assert after - before < 16_000_000


def test_an_option_sets_another_limit(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", npy(GOOD, np.arange(10.0).tobytes()))
    assert "10 numbers in it; allowed are at most 9;" in message(path, data__most_values=9)
    assert read(path, data__most_values=10).train.rows == 8
    with pytest.raises(SpecError, match=r"data.most_values: 9 given with data.source = 'digits'"):
        prepare(Experiment.load("digits").with_values(data__most_values=9))


def test_the_limit_grows_with_the_file(tmp_path: Path) -> None:
    path, data = tmp_path / "a.npz", Experiment().data
    for size, most in ((10, 10**7), (10**6, 16 * 10**6), (10**9, 10**8)):
        with path.open("wb") as file:
            file.truncate(size)
        assert file_size.most_values(path, data) == most


def test_a_text_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 100_000))
    text = message(path, data__target="b", data__most_values=100_000)
    assert "numbers in it; allowed are at most 100,000" in text
    path.write_bytes(gzip.compress(b"a,b\n1," + b"2" * 10**7))
    text = message(path, data__target="b", data__most_values=1000)
    assert "more than 16,000 bytes of text in it" in text


def _wide(path: Path, columns: int, cell: str) -> Path:
    names = ",".join(f"c{i}" for i in range(columns))
    path.write_text("\n".join([names, *[",".join([cell] * columns)] * 10]) + "\n")
    return path


@pytest.mark.timeout(20)
def test_so_many_columns_are_read_and_more_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = _wide(tmp_path / "wide.csv", 20_000, "1")
    values = {"data__target": "c1", "loss__kind": "mse"}
    assert read(wide, **values).experiment.model.in_features == 19_999
    monkeypatch.setattr(file_size, "MOST_COLUMNS", 19_999)
    assert "20,000 columns in it; allowed are at most 19,999" in message(wide, **values)
    text = message(_wide(tmp_path / "few.csv", 1000, "1"), data__target="d")
    assert text.endswith("c18, c19, and 980 more")


def test_so_many_columns_of_text_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold.problem.columns.MOST_TEXT_COLUMNS", 9)
    path = _wide(tmp_path / "a.csv", 11, "x")
    text = message(path, data__target="c1", data__categorical="one_hot")
    assert "10 columns of text in it; allowed are at most 9" in text
    assert "column 'c0', row 0" in message(path, data__target="c1")


def test_texts_of_several_columns_stand_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = ["NA,1,None,x", ",2,b,x", "c,,None,y", "NA,4,,x", "c,5,b,y"] * 4
    path.write_text("\n".join(["p,q,r,t", *rows]))
    values = {"data__target": "t", "data__categorical": "one_hot", "data__missing": "drop"}
    problem = read(path, **values)
    assert [(c.column, c.categories) for c in problem.description.one_hot] == [
        ("p", ("NA", "c")),
        ("r", ("None", "b")),
    ]


@pytest.mark.parametrize(
    ("columns", "rows", "size", "words"),
    [
        (100_001, 1, 0, "100,001 columns in it"),
        (2, 6, 0, "12 numbers in it; allowed are at most 10"),
        (2, 1, 1000, "62 numbers in it; allowed are at most 10"),
        (2, 5, 16, ""),
    ],
)
def test_what_a_parquet_file_declares(columns: int, rows: int, size: int, words: str) -> None:
    group = SimpleNamespace(num_rows=rows, total_byte_size=size)
    metadata = SimpleNamespace(
        num_columns=columns, num_rows=1, num_row_groups=1, row_group=[group].__getitem__
    )
    if not words:
        file_size.require_parquet(metadata, "a.parquet", 10)
        return
    with pytest.raises(DataError, match=words):
        file_size.require_parquet(metadata, "a.parquet", 10)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("name", ["pipe.csv", "pipe.npz"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / name)
    assert "not a regular file" in message(
        tmp_path / name, data__target="a" if "csv" in name else None
    )


@pytest.mark.timeout(5)
@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_one_line_of_many_fields_is_refused(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,y" + end + b"," * 5_000_000))
    assert "columns in it; allowed are at most 100,000" in message(path, data__target="y")
    path.write_bytes(gzip.compress(end.join([b"a,y"] + [b"1,0", b"2,1"] * 100_000)))
    assert read(path, data__target="y").train.rows == 160_000


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("x" * 10_000, ("'xxx",)),
        ("9" * 10_000 + ",5", ("'999",)),
        # A number for pandas 3, a text for pandas 2.
        ("9" * 400, ("a whole number of 1,329 bits", "'999")),
    ],
    ids=["text", "decimal comma", "digits"],
)
def test_long_cells_and_names_are_cut_in_messages(
    tmp_path: Path, cell: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "a.csv"
    name = "n" * 10_000
    path.write_text(f"{name};y\n{cell};1\n{cell};0\n")
    text = message(path, data__target="y", data__separator=";")
    assert any(each in text for each in words)
    assert len(text) < 1000
    text = message(path, data__target=name[:4000], data__separator=";")
    assert len(text) < 1000
