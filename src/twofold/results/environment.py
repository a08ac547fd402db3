"""The machine and software that a figure was measured on; no name of host or person, no path."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import psutil

from twofold.backends.installed import packages

ALWAYS: Final = ("twofold", "numpy")
GOVERNOR: Final = "/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"


def describe() -> dict[str, Any]:
    """Processor, cores, threads, memory, system, versions, load and time; None where unknown.

    Threads are those that OMP_NUM_THREADS asks for, else one for each usable processor. Memory in
    bytes, load as the mean number of runnable processes over 1, 5 and 15 minutes.
    Versions come from the installed packages' metadata: no framework is imported.
    """
    cpus = usable_cpus()
    return {
        "processor": processor_name(),
        "architecture": platform.machine(),
        "cores_total": os.cpu_count(),
        "cores_usable": len(cpus),
        "threads": threads_asked_for() or len(cpus),
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": package_versions((*ALWAYS, *packages())),
        "governor": governor(cpus[0]),
        "load_average": load_average(),
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def usable_cpus() -> tuple[int, ...]:
    """The numbers of the processors this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def threads_asked_for() -> int | None:
    """What OMP_NUM_THREADS asks for, None where it does not.

    PyTorch and BLAS follow it; XLA takes a thread for each usable processor whatever it says.
    """
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(outermost) if outermost.isdigit() and int(outermost) > 0 else None


def processor_name() -> str:
    """The processor as its maker calls it, else its architecture."""
    cpuinfo = _first_line_of("/proc/cpuinfo", "model name")
    if cpuinfo:
        return cpuinfo
    if platform.system() == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            return answer.stdout.strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """The memory this process may use: the machine's, or its control group's if that is less."""
    total = int(psutil.virtual_memory().total)
    limit = _text_of("/sys/fs/cgroup/memory.max")
    return min(total, int(limit)) if limit and limit.isdigit() else total


def package_versions(names: Iterable[str]) -> dict[str, str | None]:
    """The installed version of each package, None for one that is not installed."""
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def governor(cpu: int) -> str | None:
    """The rule that sets a processor's clock rate on Linux, such as "performance"."""
    return _text_of(GOVERNOR.format(cpu=cpu))


def load_average() -> list[float] | None:
    """Mean number of runnable processes over the last 1, 5 and 15 minutes."""
    try:
        return [round(load, 2) for load in os.getloadavg()]
    except (AttributeError, OSError):
        return None


def _text_of(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _first_line_of(path: str, key: str) -> str | None:
    for line in (_text_of(path) or "").splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == key and value.strip():
            return value.strip()
    return None
