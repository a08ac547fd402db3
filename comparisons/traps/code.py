"""The source of a trap's functions, and of what they share, taken from the modules that run."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType
from typing import Any

from comparisons.traps.trap import Trap


def code_of(function: Callable[[], Any]) -> str:
    """The source of a function, as it stands in its module."""
    return inspect.getsource(function).rstrip()


def shared_code(trap: Trap) -> str:
    """Source of the constants and helpers of its module that the trap's functions use."""
    functions = (trap.pytorch, trap.jax, trap.pytorch_fixed, trap.jax_fixed)
    own = {function.__name__ for function in functions if function}
    definitions = top_level(trap.pytorch.__module__)
    wanted: set[str] = set()
    waiting = [name for function in functions if function for name in names(function.__code__)]
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in wanted | own:
            wanted.add(name)
            value = getattr(sys.modules[trap.pytorch.__module__], name)
            waiting += names(value.__code__) if inspect.isfunction(value) else ()
    return "\n\n".join(text for name, text in definitions.items() if name in wanted)


def names(code: CodeType) -> Iterator[str]:
    """Global names that a function and the functions inside it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names(constant)


@cache
def top_level(module: str) -> dict[str, str]:
    """The source of each function, class and constant at a module's top level."""
    source = inspect.getsource(sys.modules[module])
    definitions: dict[str, str] = {}
    for node in ast.parse(source).body:
        text = ast.get_source_segment(source, node) or ""
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            decorators = [f"@{ast.unparse(item)}\n" for item in node.decorator_list]
            definitions[node.name] = "".join(decorators) + text
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        definitions[name.id] = text
    return definitions
