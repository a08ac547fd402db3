"""The shortest proof of each difference that is real: it runs by itself and knows no judge."""

from __future__ import annotations

from typing import Final

PROOFS: Final[dict[str, str]] = {}
