"""The documentation site: what the strict build itself does not check."""

import re
from pathlib import Path
from types import ModuleType

import pytest

import twofold
from twofold import port

DOCS = Path(__file__).resolve().parents[2] / "docs"
API = (DOCS / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [twofold, port], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module: ModuleType) -> None:
    documented = set(
        re.findall(rf"^\.\. auto(?:class|function):: {module.__name__}\.(\w+)$", API, re.MULTILINE)
    )
    assert documented == set(module.__all__)


@pytest.mark.parametrize("module", [twofold, port], ids=lambda module: module.__name__)
def test_every_public_name_has_a_docstring(module: ModuleType) -> None:
    """Without one, autodoc leaves it out and says nothing."""
    assert [name for name in module.__all__ if not getattr(module, name).__doc__] == []
