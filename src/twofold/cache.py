"""The folder for what can be made again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The folder that this system gives programs for what they can make again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "twofold"
    default = home / "AppData" / "Local" if sys.platform == "win32" else home / ".cache"
    return Path(os.environ.get(_variable()) or default) / "twofold"


def elsewhere() -> str:
    """How a sentence ends that says how to have the folder elsewhere; "" where it cannot be."""
    if sys.platform == "darwin":
        return ""
    return f", or name another folder for caches in the environment variable {_variable()}"


def _variable() -> str:
    return "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
