"""Reading stored results through pydantic models, as the spec is read.

A field that older versions did not store has a default; a field that nobody reads is kept as it is.
Text is made printable: one line, no control characters. What is wrong is a ResultError with the
file and the field.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from twofold.errors import ResultError
from twofold.results.json_files import read_json
from twofold.spec.limits import shown

BIDIRECTIONAL: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that change the direction of the text around them."""


def printable(text: str) -> str:
    """The text in one line; control characters and lone surrogates become U+FFFD."""
    return "".join(
        "\ufffd" if unicodedata.category(one) in ("Cc", "Cs") or one in BIDIRECTIONAL else one
        for one in " ".join(text.split())
    )


Text = Annotated[str, AfterValidator(printable)]
Name = Annotated[str, AfterValidator(printable), Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=1e-12, le=1e12, allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Positive = Annotated[int, Field(ge=1, le=10**15)]


class Stored(BaseModel):
    """What all models share: strict types, and fields that are not listed are kept."""

    model_config = ConfigDict(extra="allow", strict=True)


class Sparse(Stored):
    """A part whose empty fields are left out again: nobody stored them."""

    @model_serializer(mode="wrap")
    def _what_is_stored(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        return {name: value for name, value in plain.items() if value is not None}


class Environment(Sparse):
    """Where and when it was measured."""

    processor: Text | None = None
    architecture: Text | None = None
    cores_usable: Count | None = None
    cores_total: Count | None = None
    threads: Positive | None = None
    memory_bytes: Count | None = None
    system: Text | None = None
    python: Text | None = None
    versions: dict[Text, Text | None] | None = None
    load_average: list[Share] | None = None
    time_utc: Annotated[Text, Field(pattern=r"^\d{4}-\d{2}-\d{2}")] | None = None


class Measurement(Stored):
    """Every result has an environment; `schema` is checked when the file is read."""

    environment: Environment = Field(default_factory=Environment)


def read_result(path: Path, schema: str, model: type[BaseModel]) -> dict[str, Any]:
    """A stored result through its model, defaults filled in.

    Raises ResultError with the file and every field that is wrong.
    """
    return checked(read_json(path, schema), model, str(path))


def checked(values: Mapping[str, Any], model: type[BaseModel], where: str) -> dict[str, Any]:
    """Values in JSON's types through a model. Raises ResultError, which begins with `where`."""
    try:
        return model.model_validate(values).model_dump()
    except ValidationError as error:
        errors = error.errors(include_url=False)
    lines = list(dict.fromkeys(_sentence(item["loc"], item["msg"], item) for item in errors))
    first = lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
    raise ResultError(f"{where}: {first}; measure again, or restore the file")


def _sentence(location: tuple[int | str, ...], message: str, error: Any) -> str:
    """`engines[3].step_s.median: 'x' given; Input should be a valid number`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    field = re.sub(r"\s+", " ", "".join(steps)).removeprefix(".") or "the result"
    if error["type"] == "missing":
        return f"{field}: nothing given, but it is needed"
    text = message.removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{field}: {text}"
    return f"{field}: {shown(error['input'])} given; {text[0].lower()}{text[1:]}"
