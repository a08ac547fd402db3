"""The source of a trap's functions, and of what they share, taken from the modules that run."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType
from typing import Any

from comparisons.atlas.traps.trap import Trap


def code_of(function: Callable[[], Any]) -> str:
    """The source of a function, as it stands in its module."""
    return inspect.getsource(function).rstrip()


def shared_code(trap: Trap) -> str:
    """Source of the constants and helpers that the functions use: imported ones, then its own."""
    functions = [f for f in (trap.pytorch, trap.jax, trap.pytorch_fixed, trap.jax_fixed) if f]
    own = {function.__name__ for function in functions}
    found: dict[str, tuple[bool, int, str]] = {}
    waiting = [(name, trap.pytorch.__module__) for f in functions for name in names(f.__code__)]
    while waiting:
        name, module = waiting.pop()
        value = getattr(sys.modules[module], name, None)
        if inspect.isfunction(value) and value.__module__.startswith("comparisons.atlas.traps."):
            module = value.__module__  # it may have been imported
        definitions = top_level(module)
        if name in definitions and name not in own and name not in found:
            place = list(definitions).index(name)
            found[name] = (module == trap.pytorch.__module__, place, definitions[name])
            used = names(value.__code__) if inspect.isfunction(value) else ()
            waiting += [(name, module) for name in used]
    return "\n\n".join(text for _, _, text in sorted(found.values()))


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
