"""The walls of the house: who may import whom, proved in fresh processes and in the source."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.engines import registry

PROJECT = Path(__file__).parents[1]
CORE = PROJECT / "src" / "twofold"
REPORT = CORE / "report"
TORCH = PROJECT / "backends" / "twofold_torch"
JAX = PROJECT / "backends" / "twofold_jax"
FLAX = PROJECT / "backends" / "twofold_flax"
EQUINOX = PROJECT / "backends" / "twofold_equinox"

TORCH_LIBRARIES = {"torch"}
JAX_LIBRARIES = {"jax", "jaxlib", "optax"}
FLAX_LIBRARIES = JAX_LIBRARIES | {"flax"}
EQUINOX_LIBRARIES = JAX_LIBRARIES | {"equinox"}
FRAMEWORKS = TORCH_LIBRARIES | FLAX_LIBRARIES | EQUINOX_LIBRARIES
BACKENDS = {"twofold_torch", "twofold_flax", "twofold_equinox"}
SHARED = "twofold_jax"
"""What backends of JAX share: a room that is no backend."""

MAY_USE = {
    TORCH: (TORCH_LIBRARIES, {"twofold_torch"}),
    JAX: (JAX_LIBRARIES, {SHARED}),
    FLAX: (FLAX_LIBRARIES, {"twofold_flax", SHARED}),
    EQUINOX: (EQUINOX_LIBRARIES, {"twofold_equinox", SHARED}),
}
"""For each folder the frameworks and the packages of `backends` that it may load."""
HEAVY = {"pandas", "altair", "vl_convert", "sklearn", "scipy"}
OUTSIDE = {"comparisons", "tests"}


def files(*folders):
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def module_name(path):
    base = CORE.parent if path.is_relative_to(CORE.parent) else TORCH.parent
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(nodes):
    """The first parts of all modules that these syntax nodes import."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
            names |= {
                str(a.value).partition(".")[0] for a in node.args if isinstance(a, ast.Constant)
            }
    return names


def anywhere(path):
    return imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def at_import(path):
    """What a module imports when it is loaded: not inside functions, not for type checkers."""

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            yield child
            yield from visit(child)

    return imported(visit(ast.parse(path.read_text(encoding="utf-8"))))


def loaded_by(*modules):
    """The first parts of everything in `sys.modules` after a fresh process imports modules."""
    code = (
        "import importlib, json, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *modules],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_the_reader_of_imports_reads_them():
    source = (
        "import a.b\nfrom c.d import e\nif TYPE_CHECKING:\n    import t\n"
        "def f():\n    import g\n    importlib.import_module('h.i')\n"
    )
    assert imported(ast.walk(ast.parse(source))) == {"a", "c", "t", "g", "h"}


def test_there_is_something_to_check():
    assert len(files(CORE)) > 20
    assert files(REPORT)
    assert all(files(folder) for folder in MAY_USE)
    installed = {value.partition(":")[0] for value in registry.installed().values()}
    assert installed == BACKENDS, "every backend of this project is held to its walls"


def test_import_twofold_loads_no_more_than_it_needs():
    assert not loaded_by("twofold") & (
        FRAMEWORKS | BACKENDS | {SHARED} | HEAVY | {"numpy", "pydantic", "rich"}
    )


def test_every_core_module_but_the_report_loads_no_framework_and_nothing_heavy():
    modules = [module_name(path) for path in files(CORE) if REPORT not in path.parents]
    assert not loaded_by(*modules) & (FRAMEWORKS | BACKENDS | {SHARED} | HEAVY)


def test_the_report_loads_no_framework_and_no_backend():
    modules = [module_name(path) for path in files(REPORT)]
    assert not loaded_by(*modules) & (FRAMEWORKS | BACKENDS | {SHARED})


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_a_backend_describes_itself_without_a_framework(backend):
    loaded = loaded_by(backend)
    assert not loaded & (FRAMEWORKS | HEAVY)
    assert loaded & BACKENDS == {backend}


@pytest.mark.parametrize("folder", MAY_USE, ids=lambda folder: folder.name)
def test_a_backend_with_all_its_modules_does_not_load_its_sibling(folder):
    own, packages = MAY_USE[folder]
    modules = [module_name(path) for path in files(folder)]
    loaded = loaded_by(*modules)
    assert loaded & FRAMEWORKS == own
    assert loaded & (BACKENDS | {SHARED}) == packages


@pytest.mark.parametrize("path", files(CORE), ids=module_name)
def test_core_source_names_no_framework(path):
    assert not anywhere(path) & (FRAMEWORKS | BACKENDS | {SHARED} | OUTSIDE)
    if REPORT not in path.parents:
        assert not at_import(path) & HEAVY


def test_the_report_reads_results_and_computes_nothing():
    rooms = ("problem", "engines", "parity", "timing", "studies", "port", "cli")
    code = "\n".join(f"import {module_name(path)}" for path in files(REPORT))
    code += "\nimport sys; print(*sorted(name for name in sys.modules if 'twofold' in name))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(result.stdout.split())
    assert loaded >= {module_name(path) for path in files(REPORT)}
    assert not loaded & {f"twofold.{room}" for room in rooms}


def imported_modules(path, known):
    """The modules among `known` that a file imports, in functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known


def circle_in(graph):
    """Names that import each other in a circle; empty where there is none."""
    left = {name: set(others) - {name} for name, others in graph.items()}
    while ends := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in ends}
    return sorted(left)


def test_a_circle_is_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    assert circle_in({"a": {"b", "a"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_of_the_core_import_each_other_in_a_circle():
    known = {module_name(path): path for path in files(CORE)}
    graph = {name: imported_modules(path, known.keys()) for name, path in known.items()}
    assert circle_in(graph) == []


def test_no_rooms_of_the_core_import_each_other_in_a_circle():
    """A module at the root is a room of its own; the package's own `__init__` hands names on."""
    known = {module_name(path): path for path in files(CORE)}

    def room(name):
        parts = name.split(".")
        return ".".join(parts[:2])

    graph = {}
    for name, path in known.items():
        if name != "twofold":
            others = {room(other) for other in imported_modules(path, known.keys())}
            graph.setdefault(room(name), set()).update(others - {"twofold"})
    assert {"twofold.spec", "twofold.parity", "twofold.report"} <= graph.keys()
    assert circle_in(graph) == []


@pytest.mark.parametrize("path", files(*MAY_USE), ids=module_name)
def test_backend_source_names_core_and_its_own_framework(path):
    own, packages = MAY_USE[TORCH.parent / path.relative_to(TORCH.parent).parts[0]]
    foreign = (FRAMEWORKS - own) | ((BACKENDS | {SHARED}) - packages)
    assert not anywhere(path) & (foreign | HEAVY | OUTSIDE)


def test_the_command_line_loads_light_libraries_only():
    heavy = FRAMEWORKS | BACKENDS | {SHARED} | HEAVY | {"numpy", "pydantic", "rich", "psutil"}
    assert not loaded_by("twofold.cli.main") & heavy
