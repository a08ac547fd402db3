"""Where figures were measured, in one line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twofold.report import wording

Environment = dict[str, Any]


def describe_environments(environments: Iterable[Environment]) -> tuple[str, ...]:
    """One line for each different machine and software, with the range of dates and load."""
    groups: dict[str, list[Environment]] = {}
    for environment in environments:
        groups.setdefault(_machine(environment), []).append(environment)
    return tuple(line + _circumstances(members) for line, members in groups.items())


def _machine(environment: Environment) -> str:
    usable, total = environment.get("cores_usable"), environment.get("cores_total")
    parts = [
        str(environment.get("processor") or "unknown processor"),
        f"{usable} of {total} cores" if usable and total else "",
        wording.counted(environment["threads"], "thread") if environment.get("threads") else "",
        _memory(environment.get("memory_bytes")),
        str(environment.get("system") or ""),
        str(environment.get("python") or ""),
        *_versions(environment.get("versions") or {}),
    ]
    return ", ".join(part for part in parts if part)


def _memory(size: int | None) -> str:
    return f"{wording.significant(size / 2**30)} GiB" if size else ""


def _versions(versions: dict[str, str | None]) -> list[str]:
    return [f"{name} {version}" for name, version in versions.items() if version]


def _circumstances(environments: list[Environment]) -> str:
    """Dates, and the load average over the last minute before each measurement."""
    days = sorted({str(e["time_utc"])[:10] for e in environments if e.get("time_utc")})
    loads = [float(e["load_average"][0]) for e in environments if e.get("load_average")]
    text = f"; {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "") if days else ""
    if loads:
        low, high = f"{min(loads):.1f}", f"{max(loads):.1f}"
        text += f"; load average {low}" + (f" to {high}" if high != low else "")
    return text
