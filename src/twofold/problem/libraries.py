"""Libraries that only some sources need: imported when one is named."""

from __future__ import annotations

import importlib
from types import ModuleType

from twofold.errors import FrameworkMissing


def library(module: str, package: str, source: str) -> ModuleType:
    """Import a library of the `data` extra. Raises FrameworkMissing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise FrameworkMissing(
            f"data.source {source!r}: {package} is not installed; "
            "install with: pip install 'twofold[data]'"
        ) from error
