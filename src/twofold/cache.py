"""The folder for what can be made again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The folder that this system gives programs for what they can make again."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "twofold"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "twofold"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "twofold"
