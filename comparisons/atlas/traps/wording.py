"""Values, expectations and outcomes as short text."""

from __future__ import annotations

from typing import Any

from comparisons.atlas.traps.outcome import Outcome
from comparisons.atlas.traps.trap import Raises, Trap, Warns


def value_text(value: Any) -> str:
    """Six significant digits; tensors as lists; expectations as what they expect."""
    if isinstance(value, Raises):
        return f"{value.kind}: {value.words}" if value.words else value.kind
    if isinstance(value, Warns):
        return f"{value_text(value.value)} and the warning '{value.words}'"
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, complex):
        return f"{value.real:.6g}{value.imag:+.6g}j"
    if isinstance(value, list):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(value_text, value)) + ")"
    if isinstance(value, dict):
        return ", ".join(f"{name} {value_text(item)}" for name, item in value.items())
    return str(value)


def outcome_text(outcome: Outcome) -> str:
    """The value, or the error with the first line of its message; then the warnings."""
    if outcome.error:
        text = f"{outcome.error}: {shortened(outcome.message)}"
    else:
        text = value_text(outcome.value)
    for warning in outcome.warnings:
        text += f"; warns: {shortened(warning)}"
    return text


def shortened(message: str, length: int = 110) -> str:
    line = message.strip().partition("\n")[0].strip()
    return line if len(line) <= length else line[: length - 3].rstrip() + "..."


def agreement(trap: Trap) -> str:
    """How equal the fixed sides are, in words."""
    if not trap.fix_tolerance:
        return "With the fix both give the same, exactly."
    reason = trap.fix_tolerance_reason
    return f"With the fix both give the same within {trap.fix_tolerance:g} ({reason})."
