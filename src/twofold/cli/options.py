"""What several commands read from their options."""

from __future__ import annotations


def listed(text: str | None) -> tuple[str, ...] | None:
    """The parts of a comma-separated list; None where the option was not given."""
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())
