"""Programs that a framework compiles, kept on disk for the next start of the same training."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from twofold.backends.description import Backend
from twofold.cache import cache_folder, processor_kind


def keep_programs(owner: Backend) -> None:
    """Give a framework that keeps no compiled programs by itself a folder for them.

    The framework learns of it by environment variables, so it must not be loaded yet; a variable
    that is set already stays. There is a folder for each kind of processor, whatever the
    framework's own keys hold: a home folder may be shared by several machines. Where no folder can
    be made, nothing is kept.
    """
    caches = owner.cache_variables
    if caches is None or caches.by_default or caches.folder in os.environ:
        return
    try:
        folder = programs_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError where the user has no home
        return
    for name, value in caches.given(str(folder), keep=True).items():
        os.environ.setdefault(name, value)


def programs_folder() -> Path:
    """Where programs for this kind of processor lie."""
    kind = hashlib.sha256(processor_kind().encode()).hexdigest()[:16]
    return cache_folder() / "programs" / kind
