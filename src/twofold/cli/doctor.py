"""`twofold doctor`: what is found on this machine, what is missing, and how to get it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from twofold.errors import BadInput

if TYPE_CHECKING:
    from twofold.backends.description import Backend

Rows = list[tuple[str, str]]
GIB: Final = 2**30
LIMIT_S: Final = 600.0
EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "data": ("scikit-learn", "pandas", "pyarrow"),
    "guide": ("altair", "vl-convert-python", "jinja2", "markdown-it-py"),
    "peers": ("keras", "lightning", "skorch", "scikit-learn"),
}


def doctor(
    check: Annotated[
        bool,
        typer.Option("--check", help="Take one certified training step in every engine."),
    ] = False,
    engines: Annotated[
        str | None,
        typer.Option(help="With --check: engines, comma-separated; default all.", metavar="LIST"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="With --check: auto (default; a GPU where there is one), cpu, cuda or mps.",
            metavar="D",
        ),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            help="With --check: seconds for each engine; default 600.", metavar="S", min=1
        ),
    ] = None,
) -> None:
    """Say what this machine has and what is missing.

    Processor, Python, each backend with its versions, devices and threads, the compiler that
    torch.compile uses, optional packages; and the command that installs what is missing.

    With --check, each engine takes one training step in a process of its own. Forward, loss,
    gradients and update are compared with the oracle. Exit codes: 0 every engine that can run here
    holds, 1 one diverges, 2 none can run, 3 one broke.
    """
    from twofold.backends import installed

    if check:
        raise typer.Exit(_check(engines, device or "auto", LIMIT_S if limit is None else limit))
    if (engines, device, limit) != (None, None, None):
        raise BadInput("--engines, --device and --limit: allowed with --check only; add --check")
    _print_section("Machine", machine())
    for owner in installed.backends():
        _print_section(f"Backend {owner.name}", backend_rows(owner))
    _print_section("Tools", [("compiler", compiler()), *extras()])


def _check(listing: str | None, device: str, limit_s: float) -> int:
    """Check engines, print each as soon as it is known, and return the exit code."""
    from rich.console import Console

    from twofold.cli import doctor_check
    from twofold.cli.calibrate import checked_device
    from twofold.cli.options import listed
    from twofold.engines import registry

    place = checked_device(device)
    names = registry.single_engines() if listing is None else listed(listing) or ()
    for name in names:
        registry.find_engine(name)
    if not names:
        raise BadInput(f"--engines: {listing!r} given; allowed is a list such as torch:eager")
    _print_section("Machine", machine())
    console = Console(highlight=False)
    doctor_check.print_heading(place, console)
    width = max(map(len, names))
    found = []
    waiting = Console(stderr=True, highlight=False)
    with waiting.status("") as status:
        steps = doctor_check.check(names, place, limit_s)
        for number, name in enumerate(names, 1):
            status.update(f"{name}, engine {number} of {len(names)}")
            found.append(next(steps))
            doctor_check.print_checked(found[-1], width, console)
    doctor_check.print_end(found, console)
    return doctor_check.answer(found)


def machine() -> Rows:
    """Processor, cores, memory, system, Python."""
    from twofold.results import environment

    found = environment.describe()
    return [
        ("processor", found["processor"]),
        ("cores", f"{found['cores_usable']} usable of {found['cores_total']}"),
        ("memory", f"{found['memory_bytes'] / GIB:.1f} GiB"),
        ("system", f"{found['system']}, {found['architecture']}"),
        ("python", found["python"]),
    ]


def backend_rows(owner: Backend) -> Rows:
    """Engines of a backend with its framework's versions, devices and threads, or what is missing.

    Whatever a broken framework raises is reported.
    """
    from twofold.engines import registry

    engines = ("engines", ", ".join(f"{owner.name}:{engine.name}" for engine in owner.engines))
    missing = owner.missing_frameworks()
    if missing:
        return [engines, ("missing", f"{', '.join(missing)}; {_install(owner.extra)}")]
    try:
        answers = registry.probe(owner)
    except Exception as error:
        broken = f"installed, but loading fails: {type(error).__name__}: {error}"
        return [
            engines,
            (
                "broken",
                f"{broken}; reinstall with: pip install --force-reinstall "
                + " ".join(owner.frameworks),
            ),
        ]
    return [engines, *((key.replace("_", " "), _words(answers[key])) for key in answers)]


def compiler() -> str:
    """The C++ compiler that torch.compile uses on the CPU: CXX if set, else the system's own.

    As `cpp.cxx` in `torch/_inductor/config.py` (PyTorch 2.13).
    """
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    path = shutil.which(name)
    if path:
        return f"{path} (for torch.compile on the CPU)"
    if os.environ.get("CXX"):
        return f"missing: CXX names {name!r}, which is not on the PATH; correct it or unset it"
    command = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
    return f"missing: {name}, which torch.compile needs on the CPU; install with: {command}"


def extras() -> Rows:
    """For each optional part of Twofold the versions found, or the command that installs it."""
    from twofold.results import environment

    rows: Rows = []
    for extra, packages in EXTRAS.items():
        versions = environment.package_versions(packages)
        missing = [name for name, version in versions.items() if version is None]
        if missing:
            rows.append((extra, f"missing: {', '.join(missing)}; {_install(extra)}"))
        else:
            rows.append((extra, _words(versions)))
    return rows


def _install(extra: str) -> str:
    return f"install with: pip install 'twofold[{extra}]'"


def _words(value: Any) -> str:
    """A probe's answer as a person reads it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(_words(item) for item in value)
    return "none" if value is None else str(value)


def _print_section(title: str, rows: Rows) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=24)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(Text(key), Text(value))
    console.print(Text(title, style="bold"))
    console.print(table)
    console.print()
