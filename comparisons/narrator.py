"""What a person sees while a long job runs: a live line on a terminal, short lines elsewhere."""

from __future__ import annotations

import time
from typing import Final, final

from rich.console import Console
from rich.markup import escape
from rich.status import Status

PAUSE_BETWEEN_LINES: Final = 5.0


@final
class Narrator:
    """Says what runs now and what came out.

    On a terminal `update` changes one live line; elsewhere it prints a line when the step changes,
    or after PAUSE_BETWEEN_LINES seconds.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._step = ""
        self._last_line = 0.0

    def heading(self, text: str) -> None:
        """A new part of the job."""
        self._stop()
        self._step = ""
        self._console.print(f"\n[bold]{escape(text)}[/bold]")

    def update(self, step: str, detail: str = "", fraction: float | None = None) -> None:
        """What runs now: the step, a detail that changes often, and how far it is, 0 to 1."""
        percent = "" if fraction is None else f"{fraction:.0%}"
        text = "  ".join(part for part in (step, detail, percent) if part)
        if self._console.is_terminal:
            self._show(text)
        elif step != self._step or time.monotonic() - self._last_line > PAUSE_BETWEEN_LINES:
            self._console.print(f"  ... {escape(text)}")
            self._last_line = time.monotonic()
        self._step = step

    def say(self, text: str) -> None:
        """A line that stays."""
        self._stop()
        self._console.print(f"  {escape(text)}")

    def fail(self, text: str) -> None:
        """A line that stays and says what went wrong."""
        self._stop()
        self._console.print(f"[bold red]{escape(text)}[/bold red]")

    def _show(self, text: str) -> None:
        if self._status is None:
            self._status = self._console.status(escape(text))
            self._status.start()
        else:
            self._status.update(escape(text))

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
