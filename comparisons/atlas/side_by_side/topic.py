"""A topic: one idea written in each library, the values it gives, and how they are compared."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Values = dict[str, Any]
"""What a column computed: numbers, texts or arrays under the names of the table."""


@dataclass(frozen=True)
class Different:
    """What each column gives where they differ on purpose, and why; NumPy may have no answer."""

    why: str
    pytorch: Any
    jax: Any
    numpy: Any = None


@dataclass(frozen=True)
class Topic:
    """One idea side by side. Every value is equal in all columns, or listed in `different`.

    `about` says in a few sentences what differs and why. Values are compared with `tolerance`,
    relative and absolute; texts and whole numbers exactly.
    """

    title: str
    about: str
    pytorch: Callable[[], Values]
    jax: Callable[[], Values]
    numpy: Callable[[], Values] | None = None
    different: Mapping[str, Different] = field(
        default_factory=dict
    )
    tolerance: float = 1e-6

    @property
    def columns(self) -> dict[str, Callable[[], Values]]:
        """The columns by name, PyTorch first."""
        both = {"pytorch": self.pytorch, "jax": self.jax}
        return both | (
            {"numpy": self.numpy} if self.numpy else {}
        )

    def run(self) -> dict[str, Values]:
        """Run every column, compare them, and return their values. Raises AssertionError.

        JAX's default device is the CPU meanwhile, as PyTorch's is anyway.
        """
        import jax

        with jax.default_device(jax.devices("cpu")[0]):
            values = {
                name: column()
                for name, column in self.columns.items()
            }
        self.compare(values)
        return values

    def compare(self, values: Mapping[str, Values]) -> None:
        """Raise AssertionError, with the value's name, unless all is as the topic says."""
        names = list(values["pytorch"])
        if set(names) != set(values["jax"]):
            raise AssertionError(
                f"{self.title}: columns name different values"
            )
        unknown = [
            *(set(self.different) - set(names)),
            *(set(values.get("numpy", {})) - set(names)),
        ]
        if unknown:
            raise AssertionError(
                f"{self.title}: no such values: {unknown}"
            )
        for name in names:
            known = self.different.get(name)
            for column in [
                each for each in values if name in values[each]
            ]:
                expected = (
                    values["pytorch"][name]
                    if known is None
                    else getattr(known, column)
                )
                what = f"{self.title}, {name}: {column}"
                require_same(
                    values[column][name],
                    expected,
                    self.tolerance,
                    what,
                )


def require_same(
    given: Any, expected: Any, tolerance: float, what: str
) -> None:
    """Raise AssertionError unless both are the same text, or numbers of one shape and size."""
    given, expected = np.asarray(given), np.asarray(expected)
    if given.shape != expected.shape:
        raise AssertionError(
            f"{what} has shape {given.shape}, not {expected.shape}"
        )
    if given.dtype.kind == "f" and expected.dtype.kind in "fiu":
        np.testing.assert_allclose(
            given,
            expected,
            rtol=tolerance,
            atol=tolerance,
            err_msg=what,
            strict=False,
        )
    elif (
        given.dtype.kind in "fiub"
        and expected.dtype.kind in "fiub"
    ):
        np.testing.assert_array_equal(
            given, expected, err_msg=what
        )
    elif given.tolist() != expected.tolist():
        raise AssertionError(
            f"{what} gives {given.tolist()!r}, not {expected.tolist()!r}"
        )


def source_of(column: Callable[[], Values]) -> str:
    """The source text of the function that ran."""
    return textwrap.dedent(inspect.getsource(column)).rstrip()


def shared_source(topic: Topic) -> str:
    """The source of what all columns share: constants and helpers of the topic's module."""
    path = inspect.getsourcefile(topic.pytorch)
    assert path is not None
    text = Path(path).read_text(encoding="utf-8")
    columns = {
        column.__name__ for column in topic.columns.values()
    }
    parts = [
        ast.get_source_segment(text, node) or ""
        for node in ast.parse(text).body
        if _is_shared(node, columns)
    ]
    return "\n".join(parts)


def _is_shared(node: ast.stmt, columns: set[str]) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name not in columns
    return isinstance(node, ast.Assign) and "TOPIC" not in [
        ast.unparse(target) for target in node.targets
    ]


def shown(value: Any) -> str:
    """A value as the tables print it: short, numbers to six digits."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        return str(value)
    text = np.array2string(
        array,
        precision=6,
        separator=", ",
        threshold=12,
        suppress_small=True,
    )
    return " ".join(text.split())


def show(topic: Topic) -> None:
    """Run a topic and print its columns and values; a command of its own."""
    from twofold.commands import begin_command

    from comparisons.atlas.side_by_side.terminal import (
        print_topic,
    )

    begin_command()
    print_topic(topic, sys.stdout)
