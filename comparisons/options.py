"""What the scripts that measure refuse in the same way on their command lines."""

from __future__ import annotations

import argparse


def require_above_zero(
    parser: argparse.ArgumentParser, given: argparse.Namespace, *names: str
) -> None:
    """End with exit code 2 for an option that must be above zero and is not."""
    for name in names:
        value = getattr(given, name)
        if not value > 0:
            option = name.replace("_", "-")
            parser.error(f"--{option}: {value} given; allowed is a number above 0")
