"""How much memory this process has held."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def peak_memory_bytes() -> int | None:
    """The most memory this process has held, in bytes; None where the system does not say.

    Linux's own high-water mark of this program (`VmHWM`): `getrusage` would report that of the
    parent if it was larger, since the mark there survives `exec`.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return _peak_from_resource_usage()
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return _peak_from_resource_usage()


def forget_peak() -> None:
    """Let the high-water mark begin again at what this process holds now; Linux alone can.

    See `/proc/PID/clear_refs` in proc(5). Elsewhere the mark stays.
    """
    with suppress(OSError), open("/proc/self/clear_refs", "wb") as marks:
        marks.write(b"5")


def _peak_from_resource_usage() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
