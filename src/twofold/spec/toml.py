"""Specs as TOML: load a built-in name or a file, override values, write it out again.

Paths: a relative `data.source` in a file means a path beside that file, and becomes absolute when
the file is loaded; in an override it means a path in the current folder, where the person types.
The experiment carries the result and no hidden folder, so that writing and parsing give it back.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

import tomli_w
from pydantic import BaseModel

from twofold.errors import SpecError
from twofold.spec import messages
from twofold.spec.data import FILE_TYPES, SYNTHETIC, WITH_TEXTS, file_type
from twofold.spec.limits import DEEPEST, MOST_CHARACTERS, cut, require_bounded, require_short, shown

M = TypeVar("M", bound=BaseModel)
SUFFIX: Final = ".toml"
LARGEST_FILE: Final = 4 * MOST_CHARACTERS  # a character of UTF-8 has up to four bytes
EXCLUSIVE: Final = {"training.epochs": "training.steps", "training.steps": "training.epochs"}
_LIST_OF_NUMBERS: Final = re.compile(r"= \[\n((?: {4}[-+.\w]+,\n)+)\]")


class NotToml(SpecError):
    """A text that is not valid TOML."""


def builtin_names() -> tuple[str, ...]:
    """The names of the built-in experiments, sorted."""
    folder = resources.files("twofold.spec") / "experiments"
    files = (item.name for item in folder.iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX)))


def builtin_text(name: str) -> str:
    """The TOML text of a built-in experiment, comments included."""
    file = resources.files("twofold.spec") / "experiments" / f"{name}{SUFFIX}"
    return file.read_text(encoding="utf-8")


def summary_line(name: str) -> str:
    """What a built-in experiment is, in a line: the comment its file begins with."""
    return builtin_text(name).splitlines()[0].removeprefix("#").strip()


def load(model: type[M], name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> M:
    """The spec of a built-in name or a TOML file, with overrides such as "seed=1".

    Raises SpecError, which lists every wrong field at once.
    """
    name = os.fspath(name_or_path)
    if name in builtin_names():
        values = _parsed(builtin_text(name), name)
    else:
        path = _existing(name)
        values = _parsed(_read(path), str(path))
        _resolve_source(values, path.parent)
    changes = parse_overrides(overrides)
    _resolve_source(changes, Path.cwd())
    return messages.validate(model, _changed(model, values, changes, name), name)


def parse(model: type[M], text: str) -> M:
    """The spec of TOML text; paths stay as they are. Raises SpecError."""
    return messages.validate(model, _parsed(text, "spec"), "spec")


def replace(spec: M, values: Mapping[str, object], where: str) -> M:
    """A copy with values replaced by dotted path, such as {"data.batch_size": 8}.

    A new `kind` keeps the values of fields that both kinds have and drops the others. `epochs` and
    `steps` exclude each other, so that setting one takes the other away. Raises SpecError.
    """
    changed = _changed(type(spec), spec.model_dump(exclude_none=True), values, where)
    return messages.validate(type(spec), changed, where)


def dump(spec: BaseModel) -> str:
    """The spec as TOML text; values that are None are left out. `parse` gives it back."""
    text = tomli_w.dumps(spec.model_dump(exclude_none=True))
    return _LIST_OF_NUMBERS.sub(_on_one_line, text)


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a spec, for editors that complete and check TOML."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}


def parse_overrides(overrides: Iterable[str]) -> dict[str, object]:
    """Overrides such as "data.batch_size=32" as dotted path -> value. Raises SpecError.

    A value is TOML; what is not valid TOML is taken as text, so that `model.activation=tanh` works.
    """
    changes: dict[str, object] = {}
    for override in overrides:
        dotted, equals, value = override.partition("=")
        if not equals or not all(part.strip() for part in dotted.split(".")):
            raise SpecError(
                f"override {shown(override)}: allowed is field=value, such as data.batch_size=32"
            )
        require_short(f"{dotted} =", f"override {shown(override)}")
        changes[dotted.strip()] = _toml_value(value.strip(), f"override {shown(override)}")
    return changes


def _toml_value(text: str, where: str) -> object:
    try:
        parsed = _parsed(f"value = {text}", where)
    except NotToml:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _existing(name: str) -> Path:
    path = Path(os.path.expanduser(name or " "))  # Path("") would be the current folder
    try:
        if path.is_file():
            return path
        exists, folder = path.exists(), path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise SpecError(f"spec {shown(name)}: cannot be read: {error.strerror}") from error
    if path.suffix == SUFFIX or len(path.parts) > 1 or exists:
        problem = "is a folder" if folder else "no such file"
        raise SpecError(f"spec {name!r}: {problem}; allowed is a TOML file or a built-in name")
    close = get_close_matches(name, builtin_names(), n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise SpecError(
        f"spec {name!r}: no built-in experiment and no file has that name{hint}; "
        f"built-in are {', '.join(builtin_names())}"
    )


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise SpecError(
                f"spec '{path}': {path.stat().st_size:,} bytes given; allowed are at most "
                f"{LARGEST_FILE:,}"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f"spec '{path}': cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"spec '{path}': not UTF-8 text (byte {error.start})") from error


def _parsed(text: str, where: str) -> dict[str, Any]:
    require_short(text, where)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotToml(
            f"{where}: not valid TOML: {cut(str(error), messages.LONGEST_LINE)}"
        ) from error
    except ValueError as error:  # what Python says of numbers of thousands of digits
        raise SpecError(
            f"{where}: a number of too many digits given; allowed are whole numbers of 64 bits"
        ) from error
    except RecursionError as error:
        raise SpecError(f"{where}: nested too deep; allowed is {DEEPEST}") from error
    require_bounded(values, where)
    return values


def _resolve_source(values: dict[str, Any], folder: Path) -> None:
    """Make a relative data file absolute, wherever the values name it."""
    data = values.get("data")
    if isinstance(data, dict) and "source" in data:
        data["source"] = _absolute(data["source"], folder)
    if "data.source" in values:
        values["data.source"] = _absolute(values["data.source"], folder)


def _absolute(source: object, folder: Path) -> object:
    if isinstance(source, str) and file_type(source) in FILE_TYPES:
        return os.path.abspath(folder / os.path.expanduser(source))
    return source


def _changed(
    model: type[BaseModel], values: Mapping[str, Any], changes: Mapping[str, object], where: str
) -> dict[str, Any]:
    """Nested values with dotted changes applied; kinds first, for they decide which fields stay."""
    result: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()
    }
    for dotted in sorted(changes, key=lambda item: not item.endswith(".kind")):
        value = changes[dotted]
        plain = value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value
        table, field = _table_of(model, result, dotted, where)
        if field == "kind":
            _drop_fields_of_other_kinds(model, table, dotted.split(".")[0], plain)
        other = _no_longer_fits(dotted, plain)
        if other and other not in changes:
            table.pop(other.split(".")[1], None)
        table[field] = plain
    return result


def _no_longer_fits(dotted: str, value: object) -> str | None:
    """The field that a change makes meaningless: the other length, rows of synthetic data."""
    if dotted == "data.source":
        return None if value in (SYNTHETIC, WITH_TEXTS) else "data.rows"
    return EXCLUSIVE.get(dotted)


def _table_of(
    model: type[BaseModel], values: dict[str, Any], dotted: str, where: str
) -> tuple[dict[str, Any], str]:
    """The table that holds a dotted field and the field's name; missing sections are made."""
    *sections, field = dotted.split(".")
    table = values
    for depth, section in enumerate(sections):
        if section not in table:
            table[section] = _default_section(model, section) if depth == 0 else {}
        table = table[section]
        if not isinstance(table, dict):
            parent = ".".join(sections[: depth + 1])
            raise SpecError(
                f"{where}: {cut(dotted)}: unknown key; {cut(parent)} is a value, not a table"
            )
    return table, field


def _default_section(model: type[BaseModel], section: str) -> dict[str, Any]:
    default = getattr(model(), section, None)
    return default.model_dump(exclude_none=True) if isinstance(default, BaseModel) else {}


def _drop_fields_of_other_kinds(
    model: type[BaseModel], table: dict[str, Any], section: str, kind: object
) -> None:
    root = messages.root_of(model)
    if kind == table.get("kind") or kind not in messages.kinds(root, section):
        return
    known = messages.fields(root, section, str(kind))
    for field in [field for field in table if field not in known]:
        del table[field]


def _on_one_line(match: re.Match[str]) -> str:
    return f"= [{', '.join(match[1].replace(',', ' ').split())}]"
