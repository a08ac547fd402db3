"""Broken tables: text tables, archives of arrays and Parquet, damaged, odd or far too large."""

from __future__ import annotations

import gzip
import importlib.util
import io
import random
import struct
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from comparisons.evidence.attacks import damage
from twofold.problem.data import prepare
from twofold.spec.experiment import Experiment

CELLS: Final = (
    *(
        "1",
        "2",
        "0",
        "-1",
        "0.5",
        "1,5",
        "1e400",
        "nan",
        "inf",
        "NA",
        "",
        " ",
        "a",
        "b",
        "é",
        "1 2",
    ),
    *("True", "2020-01-01", '"x"', '"', "'", "#", "0x1", "1_000", "9" * 400, "٣", "\0", "a" * 3000),
)
ENCODINGS: Final = (
    *("utf-8", "utf-16", "utf-32", "utf-7", "cp1252", "ascii", "idna", "punycode", "utf-8-sig"),
    *("unicode_escape", "raw_unicode_escape", "shift_jis", "iso2022_jp", "mbcs", "undefined"),
)
LOSSES: Final = ("cross_entropy", "mse", "bce_with_logits", "huber")
DTYPES: Final = (
    *("<f8", "<f4", "<f2", ">f8", "<i8", "<u1", "|b1", "<c16", "<U3", "|S3", "|O", "<M8[s]", "|V4"),
    *("<m8", "<f16", "|V0", "<U0", "<U999999999", "<q9", "", "[('a', '<f8')]"),
)
SHAPES: Final = (
    *("(12, 2)", "(12,)", "(24,)", "()", "(0, 2)", "(12, 0)", "(-12, 2)", "(12, 2, 1)", "(2, 12)"),
    *("(10**11, 1)", "(100000000000, 1)", "(True, 2)", "(1.5,)", "(12, 2", "12", "((12,), 2)"),
    *("(9999999999999999999999,)", "(4294967296, 4294967296)", "(1,) * 70", "(12, 2,)", "None"),
)


def attack(seed: int, number: int, folder: Path) -> str:
    """Prepare the problem of one broken table."""
    rng = random.Random(f"{seed}-{number}")
    writer = rng.choice(WRITERS)
    name, data = writer(rng)
    path = folder / name
    path.write_bytes(data)
    text = not name.endswith((".npz", ".parquet"))
    options = {} if name.endswith(".npz") else _options(rng, text)
    options["loss__kind"] = rng.choice(LOSSES)
    if rng.random() < 0.1:
        options["data__most_values"] = rng.choice((1, 10, 10**6))
    prepare(Experiment().with_values(data__source=str(path), **options))
    return f"accepted: {path.suffixes[0]}"


def _options(rng: random.Random, text: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"data__target": rng.choice(("y", "y", "y", "a", ("a", "y"), "c7"))}
    drawn: dict[str, tuple[Any, ...]] = {
        "data__missing": ("drop", "mean", "median"),
        "data__categorical": ("one_hot",),
        "data__columns": (("b",), ("b", "c"), ("c1", "c2"), tuple(f"c{i}" for i in range(999))),
        "data__exclude": (("b",), ("d",), ("c3",)),
        "data__test_fraction": (0.0, 0.5, 0.99),
        "data__standardize": (False,),
    }
    if text:
        drawn |= {
            "data__separator": (",", ";", "\t", "|", " ", "a", "1", "é", "\U0001f600", "\\", "*"),
            "data__decimal": (",", "."),
            "data__encoding": ENCODINGS,
            "data__comment": ("#", "%", "a", "1"),
        }
    likely = ("data__categorical", "data__missing")  # else most tables are refused for these alone
    for name, values in drawn.items():
        if rng.random() < (0.6 if name in likely else 0.1):
            options[name] = rng.choice(values)
    return options


def _good_text(rng: random.Random, separator: str) -> bytes:
    rows = [["a", "b", "c", "y"]]
    rows += [[str(i), f"{i / 3:.2f}", rng.choice("xyz"), str(i % 2)] for i in range(12)]
    return "\n".join(separator.join(row) for row in rows).encode()


def _text(rng: random.Random) -> tuple[str, bytes]:
    """A good text table with damages."""
    data = damage.of_bytes(rng, _good_text(rng, rng.choice((",", ",", ";", "\t"))))
    return _packed(rng, data)


def _cells(rng: random.Random) -> tuple[str, bytes]:
    """Any cells, rows of any length, in any encoding."""
    separator = rng.choice((",", ",", ",", ";", "\t"))
    names = rng.choices(("a", "b", "c", "d", "y", "", "a", '"q"', "\0"), k=rng.randrange(1, 7)) + [
        "y"
    ] * (rng.random() < 0.8)
    few = rng.sample(CELLS, k=rng.randrange(1, 6))
    even = rng.random() < 0.7
    rows = [
        rng.choices(few, k=len(names) if even else rng.randrange(1, 9))
        for _ in range(rng.choice((0, 1, 2, 5, 20)))
    ]
    ends = rng.choice(("\n", "\r\n", "\r", "\n\n"))
    text = ends.join(separator.join(row) for row in [names, *rows])
    encoding = rng.choice((*["utf-8"] * 8, "utf-16", "utf-32", "cp1252", "shift_jis"))
    return _packed(rng, text.encode(encoding, "replace"))


def _large_text(rng: random.Random) -> tuple[str, bytes]:
    """Many columns, one long cell, or few bytes that unpack to many."""
    size = int(2 ** rng.uniform(4, 14))
    match rng.randrange(4):
        case 0:
            names = ",".join(f"c{i}" for i in range(size))
            cell = rng.choice(("1", "x", ""))
            data = "\n".join([names + ",y", *[",".join([cell] * size + ["1"])] * 4]).encode()
        case 1:
            data = b"a,y\n1,2\n" + b"9" * (size * 20)
        case 2:
            data = b"a,y\n" + b"1,2\n" * size * 10
        case _:
            text = rng.choice((b"1,2\n", b"1", b",", b"\n", b'"')) * size * 1000
            return "table.csv.gz", gzip.compress(b"a,y\n" + text, 1)
    return _packed(rng, data)


def _packed(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    kind = rng.choice(("csv", "csv", "csv", "tsv", "csv.gz", "tsv.gz"))
    if not kind.endswith(".gz"):
        return f"table.{kind}", data
    packed = gzip.compress(data, 1, mtime=0)
    return f"table.{kind}", damage.of_bytes(rng, packed) if rng.random() < 0.2 else packed


def _good_arrays(rng: random.Random) -> dict[str, Any]:
    inputs = np.arange(24.0).reshape(12, 2) + rng.random()
    return {"inputs": inputs, "targets": np.arange(12) % 2}


def _archive(rng: random.Random) -> tuple[str, bytes]:
    """A good archive with damages."""
    file = io.BytesIO()
    save = rng.choice((np.savez, np.savez_compressed))
    save(file, **_good_arrays(rng))
    return "arrays.npz", damage.of_bytes(rng, file.getvalue())


def _headers(rng: random.Random) -> tuple[str, bytes]:
    """An archive that is whole, of arrays whose headers say anything."""
    file = io.BytesIO()
    method = rng.choice((0, 0, 0, 8, 8, 8, 8, 12, 14))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("inputs", "targets"):
            archive.writestr(f"{name}.npy", _array(rng, name))
    return "arrays.npz", file.getvalue()


def _array(rng: random.Random, name: str) -> bytes:
    wild = rng.random() < 0.4
    shape = rng.choice(SHAPES) if wild else "(12, 2)" if name == "inputs" else "(12,)"
    dtype = rng.choice(DTYPES) if rng.random() < 0.4 else "<f8"
    quoted = dtype if dtype.startswith("[") else repr(dtype)
    header = f"{{'descr': {quoted}, 'fortran_order': {rng.random() < 0.3}, 'shape': {shape}, }}"
    text = header.encode()
    if rng.random() < 0.15:
        text = damage.of_bytes(rng, text)[:60_000]
    version = rng.choice((*[b"\x01\x00"] * 6, b"\x02\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text) + 1)
    body = b"\0" * rng.choice((*[192 if name == "inputs" else 96] * 6, 0, 10_000))
    if rng.random() < 0.02:
        body = b"\0" * 100_000_000  # 100 kB when packed
    return b"\x93NUMPY" + version + size + text + b"\n" + body


def _arrays(rng: random.Random) -> tuple[str, bytes]:
    """Whole arrays that no experiment can use."""
    file = io.BytesIO()
    shapes = ((12, 2), (12,), (0, 2), (12, 0), (1, 1), (2, 2, 2), (), (12, 700))
    arrays: dict[str, Any] = {}
    for name in rng.sample(("inputs", "targets", "labels", "x"), k=rng.randrange(1, 5)):
        values = rng.choice((0.0, 1.0, float("nan"), float("inf"), 1e308, -1e-320))
        array = np.full(rng.choice(shapes), values)
        arrays[name] = array.astype(rng.choice(("f8", "f4", "i8", "bool", "c16", "U5", "S2")))
    with np.errstate(all="ignore"):
        np.savez(file, allow_pickle=False, **arrays)
    return "arrays.npz", file.getvalue()


def _parquet(rng: random.Random) -> tuple[str, bytes]:
    """A good Parquet file with damages; bytes that are none where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        return "table.parquet", damage.of_bytes(rng, b"PAR1" + bytes(60) + b"PAR1")
    import pandas

    file = io.BytesIO()
    columns = {"a": range(12), "b": [0.5] * 12, "c": list("xyz" * 4), "y": [0, 1] * 6}
    pandas.DataFrame(columns).to_parquet(file, engine="pyarrow")
    return "table.parquet", damage.of_bytes(rng, file.getvalue())


WRITERS: Final = (
    *(_text, _text, _cells, _cells, _cells, _large_text),
    *(_archive, _archive, _headers, _headers, _headers, _arrays, _parquet),
)
