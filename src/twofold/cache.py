"""The folder for what can be made again, and the processor that part of it is made for."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Final

CPUINFO: Final = Path("/proc/cpuinfo")
KINDS: Final = ("model name", "cpu family", "model", "stepping", "flags", "Features", "CPU part")
"""What Linux says of the kind of a processor and of what it can do, on x86 and on ARM."""


def cache_folder() -> Path:
    """The folder that this system gives programs for what they can make again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "twofold"
    default = home / "AppData" / "Local" if sys.platform == "win32" else home / ".cache"
    return Path(os.environ.get(_variable()) or default) / "twofold"


@cache
def processor_kind() -> str:
    """The kind of processor, with all that it says it can do.

    Compilers write programs for this very kind.
    """
    words = [platform.machine(), platform.system()]
    try:
        first = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return " ".join([*words, platform.processor()])
    told = [line for line in first.splitlines() if line.split("\t")[0].strip() in KINDS]
    return " ".join([*words, *told])


def elsewhere() -> str:
    """How a sentence ends that says how to have the folder elsewhere; "" where it cannot be."""
    if sys.platform == "darwin":
        return ""
    return f", or name another folder for caches in the environment variable {_variable()}"


def _variable() -> str:
    return "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
