"""How busy the machine is with other things while it is measured."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

import psutil

IDLE_FIELDS: Final = ("idle", "iowait", "guest", "guest_nice")  # guest time is in user time already


def busy_seconds(cpus: Collection[int]) -> float | None:
    """Processor time used so far on some processors by all programs, less this process's own.

    None where the system does not count it.
    """
    table = psutil.cpu_times(percpu=True)
    if not cpus or max(cpus) >= len(table):
        return None
    busy = sum(
        seconds
        for cpu in cpus
        for name, seconds in table[cpu]._asdict().items()
        if name not in IDLE_FIELDS
    )
    own = os.times()
    return busy - own.user - own.system if busy > 0 else None
