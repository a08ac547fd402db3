"""Cases that end as none may, to try out the watchdog: it must see each of them."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from twofold.errors import DataError

EXPECTED = (
    *("accepted", "DataError", "foreign: KeyError", "hang", "crash: exit code -11"),
    *("too much memory", "foreign: a message of more than 30000 characters", "accepted"),
)
MEMORY = 200_000_000


def attack(seed: int, number: int, folder: Path) -> str:
    """Case n ends as EXPECTED[n] says."""
    del seed
    match number:
        case 1:
            raise DataError(f"{folder}: refused as it should be")
        case 2:
            raise KeyError("field")
        case 3:
            began = time.process_time()
            while time.process_time() - began < 1000:
                pass
        case 4:
            ctypes.string_at(0)
        case 5:
            return f"accepted {len(b'x' * MEMORY)}"  # zeros would not be written to memory
        case 6:
            raise DataError("x" * 30_001)
    return "accepted"
