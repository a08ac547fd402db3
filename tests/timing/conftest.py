"""Fakes make no garbage worth collecting: real collections before each block would take minutes."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def _no_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda *_: 0)
