"""Results on disk: versioned JSON, written atomically, read with a check of its schema."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from twofold.errors import ResultError
from twofold.files import write_text
from twofold.spec.limits import shown

NonFinite = Literal["null", "refuse"]


def to_plain(value: Any, *, non_finite: NonFinite = "null", where: str = "result") -> Any:
    """The value in JSON's own types: NumPy numbers and arrays, tuples and paths converted.

    JSON has no NaN or infinity: with `non_finite="null"` they become null, with `"refuse"` they
    raise. Raises ResultError for a type that has no JSON form.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _checked_float(value, non_finite, where)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
        if not isinstance(value, list):  # an array of shape ()
            return to_plain(value, non_finite=non_finite, where=where)
    if isinstance(value, Mapping):
        return {
            _checked_key(key, where): to_plain(item, non_finite=non_finite, where=f"{where}.{key}")
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [
            to_plain(item, non_finite=non_finite, where=f"{where}[{index}]")
            for index, item in enumerate(value)
        ]
    raise ResultError(f"{where}: {type(value).__name__} given; allowed are JSON's types and NumPy")


def write_json(
    path: str | os.PathLike[str], result: Mapping[str, Any], *, non_finite: NonFinite = "null"
) -> Path:
    """Write a result, which names its `schema`, whole or not at all; folders are made.

    The text goes to a temporary file in the same folder, which then replaces the target. Raises
    ResultError when there is no schema, a value has no JSON form or the file cannot be written.
    """
    target = Path(path)
    if not isinstance(result.get("schema"), str):
        raise ResultError(f"{target}: the result has no schema; add one such as 'twofold.timing/1'")
    plain = to_plain(result, non_finite=non_finite)
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(target, text)
    return target


def read_json(path: str | os.PathLike[str], schema: str) -> dict[str, Any]:
    """Read a result whose schema is `schema`, such as "twofold.timing/1". Raises ResultError."""
    source = Path(path)
    try:
        value = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"{source}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ResultError(f"{source}: not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise ResultError(f"{source}: not valid JSON: {error}") from error
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
        raise ResultError(f"{source}: not a result: {error}") from error
    if not isinstance(value, dict):
        raise ResultError(f"{source}: {type(value).__name__} given; allowed is a JSON object")
    if value.get("schema") != schema:
        raise ResultError(
            f"{source}: schema {shown(value.get('schema'))} given; allowed is {schema!r}; "
            "measure again with this version of twofold"
        )
    return value


def _checked_float(value: float, non_finite: NonFinite, where: str) -> float | None:
    if math.isfinite(value):
        return value
    if non_finite == "null":
        return None
    raise ResultError(f"{where}: {value} given; allowed are finite numbers")


def _checked_key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ResultError(f"{where}: key {key!r} given; allowed are texts")
    return key
