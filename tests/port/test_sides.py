"""Sides are found in the descriptions of backends, somebody else's among them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from twofold import port
from twofold.backends.description import Backend, PortSide
from twofold.backends.installed import backend, backends
from twofold.errors import BadInput, FrameworkMissing
from twofold.port import sides

ABACUS = replace(
    backend("torch"),
    name="abacus",
    extra="beads",
    port_sides=(
        PortSide("Rows", "abacus_sides:Rows", "abacus"),
        PortSide("Wires", "abacus_wires:Wires", "abacus.wires"),
    ),
    port_steps="",
)


@pytest.fixture
def with_abacus(monkeypatch: pytest.MonkeyPatch) -> None:
    found: tuple[Backend, ...] = (*backends(), ABACUS)
    monkeypatch.setattr(sides, "backends", lambda: found)


@pytest.fixture
def abacus_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "abacus.py").write_text("class Frame:\n    pass\n")
    (tmp_path / "abacus_sides.py").write_text(
        "class Rows:\n    def __init__(self, *given):\n        self.given = given\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("abacus", "abacus_sides"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_sides_of_the_own_backends() -> None:
    assert {"Torch", "Nnx", "Linen", "Function"} <= set(sides.names()) <= set(port.__all__)


@pytest.mark.usefixtures("with_abacus", "abacus_installed")
def test_a_side_of_somebody_elses_backend_is_found_and_takes_bare_models() -> None:
    from abacus import Frame  # type: ignore[import-not-found]

    frame = Frame()
    side = sides.side_of(frame, "the original")
    assert type(side).__name__ == "Rows"
    assert side.given == (frame,)  # type: ignore[attr-defined]
    allowed = r"list given; .*flax\.nnx or .*abacus.wires, \(module, variables\)"
    with pytest.raises(BadInput, match=allowed):
        sides.side_of([frame], "the original")


@pytest.mark.usefixtures("with_abacus")
def test_a_side_whose_library_is_missing_names_its_extra() -> None:
    with pytest.raises(
        FrameworkMissing, match=r"Wires: abacus_wires .*pip install 'twofold\[beads\]'"
    ):
        sides.load("Wires")


def test_a_name_that_no_backend_has() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Abacus'"):
        _ = port.Abacus
