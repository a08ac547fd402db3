"""Fakes make no garbage worth collecting: real collections before each block would take minutes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "timing"))  # the fake clock lives there


@pytest.fixture(autouse=True, scope="module")
def _no_collections() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)
        yield
