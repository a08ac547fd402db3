"""What several commands read from their options."""

from __future__ import annotations

from pathlib import Path


def listed(text: str | None) -> tuple[str, ...] | None:
    """The parts of a comma-separated list; None where the option was not given."""
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())


def require_writable(option: str, path: Path | None) -> None:
    """Refuse a target that cannot be written before any work is done. Raises ResultError."""
    from twofold.errors import ResultError

    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ResultError(f"{option}: {path} given; allowed is a file in a folder that exists")
