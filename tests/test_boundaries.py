"""The walls of the house: who may import whom, proved in fresh processes and in the source."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.backends import installed

PROJECT = Path(__file__).parents[1]
CORE = PROJECT / "src" / "twofold"
REPORT = CORE / "report"
HOME = PROJECT / "backends"

BACKENDS = {
    target.partition(":")[0]: owner
    for owner, target in zip(installed.backends(), installed.targets().values(), strict=True)
}
LIBRARIES = {package: set(owner.packages) for package, owner in BACKENDS.items()}
"""The modules of its framework that a package in `backends` may load."""
SHARED = {"twofold_jax": {"jax", "jaxlib", "optax"}}
"""The same of rooms that are no backend, for all backends whose frameworks include these."""
LIBRARIES |= SHARED
MAY_USE = {
    package: {package, *(room for room, needs in SHARED.items() if needs <= own)}
    for package, own in LIBRARIES.items()
}
"""The packages in `backends` that each of them may load."""
FRAMEWORKS = set().union(*LIBRARIES.values())
HEAVY = {"pandas", "pyarrow", "altair", "vl_convert", "sklearn", "scipy"}
OUTSIDE = {"comparisons", "tests"}


def files(*folders):
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def module_name(path):
    base = CORE.parent if path.is_relative_to(CORE.parent) else HOME
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
    assert {path.name for path in HOME.iterdir() if path.name.startswith("twofold_")} == set(
        LIBRARIES
    )
    assert all(files(HOME / package) for package in LIBRARIES)
    assert {"torch", "jax", "jaxlib", "flax", "optax"} <= FRAMEWORKS


def test_import_twofold_loads_no_more_than_it_needs():
    assert not loaded_by("twofold") & (
        FRAMEWORKS | LIBRARIES.keys() | HEAVY | {"numpy", "pydantic", "rich"}
    )


def test_every_core_module_but_the_report_loads_no_framework_and_nothing_heavy():
    modules = [module_name(path) for path in files(CORE) if REPORT not in path.parents]
    assert not loaded_by(*modules) & (FRAMEWORKS | LIBRARIES.keys() | HEAVY)


def test_the_report_loads_no_framework_and_no_backend():
    modules = [module_name(path) for path in files(REPORT)]
    assert not loaded_by(*modules) & (FRAMEWORKS | LIBRARIES.keys())


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_a_backend_describes_itself_without_a_framework(backend):
    loaded = loaded_by(backend)
    assert not loaded & (FRAMEWORKS | HEAVY)
    assert {backend} <= loaded & LIBRARIES.keys() <= MAY_USE[backend]


@pytest.mark.parametrize("package", LIBRARIES)
def test_a_backend_with_all_its_modules_does_not_load_its_sibling(package):
    loaded = loaded_by(*(module_name(path) for path in files(HOME / package)))
    assert loaded & FRAMEWORKS == LIBRARIES[package]
    assert loaded & LIBRARIES.keys() == MAY_USE[package]


@pytest.mark.parametrize("path", files(CORE), ids=module_name)
def test_core_source_names_no_framework(path):
    assert not anywhere(path) & (FRAMEWORKS | LIBRARIES.keys() | OUTSIDE)
    if REPORT not in path.parents:
        assert not at_import(path) & HEAVY


def texts(path):
    """Every text in the code of a module; what stands alone is a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone
    }


MAY_NAME_A_BACKEND = {
    "twofold.timing.measure": {"torch:eager"},  # the default reference
    "twofold.studies.outcome": {"torch:eager", "flax:jit"},  # the defaults of a study
    "twofold.cli.outcome": {"Engines, comma-separated; default torch:eager,flax:jit."},
    "twofold.cli.time": {" given; allowed is all, or a list such as torch:eager,flax:jit"},
    "twofold.spec.layers.embedding": {"flax"},  # whose initial values it has
    "twofold.cli.doctor": {" given; allowed is a list such as torch:eager"},
}
"""Defaults, and examples in messages. The judge of ports, which is of two frameworks, is apart."""


def test_core_source_names_no_backend():
    """What core knows of a backend, the backend says: its engines, packages, variables, colours."""
    names = "|".join((*installed.backend_names(), *LIBRARIES))
    named = re.compile(rf"\b(?:{names}):|^(?:{names})$|JAX_|TORCH|XLA_")
    found = {
        module_name(path): {text for text in texts(path) if named.search(text)}
        for path in files(CORE)
        if CORE / "port" not in path.parents
    }
    assert {module: text for module, text in found.items() if text} == MAY_NAME_A_BACKEND


def test_what_the_report_asks_of_backends_loads_no_framework():
    """Their titles, colours and best engines are in descriptions, which need no framework."""
    code = (
        "import sys\n"
        "from twofold.report import speed_advice, style\n"
        "print(style.colour('torch:eager', ('torch:eager',)), speed_advice.known_contenders())\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    said, loaded = result.stdout.splitlines()
    assert "#D55E00" in said
    assert "flax:jit" in said
    assert not set(loaded.split()) & FRAMEWORKS


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


@pytest.mark.parametrize("path", files(*map(HOME.joinpath, LIBRARIES)), ids=module_name)
def test_backend_source_names_core_and_its_own_framework(path):
    package = path.relative_to(HOME).parts[0]
    foreign = (FRAMEWORKS - LIBRARIES[package]) | (LIBRARIES.keys() - MAY_USE[package])
    assert not anywhere(path) & (foreign | HEAVY | OUTSIDE)


def test_the_command_line_loads_light_libraries_only():
    heavy = FRAMEWORKS | LIBRARIES.keys() | HEAVY | {"numpy", "pydantic", "rich", "psutil"}
    assert not loaded_by("twofold.cli.app") & heavy
