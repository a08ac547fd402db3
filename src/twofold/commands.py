"""How a command begins and ends: what interrupts it, and what dead processes left.

SIGTERM (sent by `kill`, `timeout` and those who stop services) and SIGHUP (a terminal that closes)
end a Python process at once: no `finally` runs, and children and temporary folders stay. In a
command they do what Ctrl-C does. Those who use Twofold as a library keep their own signals.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

from twofold.errors import TwofoldError
from twofold.temporary import clear_leftovers

INTERRUPTED: Final = 130


def begin_command() -> None:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, and clear what dead processes left.

    A signal that is ignored (as SIGHUP under `nohup`) or that has a handler stays as it is.
    """
    if threading.current_thread() is threading.main_thread():  # only there signals can be set
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _interrupt)
    clear_leftovers(tempfile.gettempdir())


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run the main function of a script and exit with its code; 130 when interrupted.

    An error of Twofold's own is told in a sentence, with its exit code.
    """
    begin_command()
    try:
        code = main()
    except TwofoldError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def _interrupt(number: int, _: Any) -> NoReturn:
    """Raise KeyboardInterrupt, once: a second signal must not break off the cleaning up."""
    signal.signal(number, _nothing)
    raise KeyboardInterrupt


def _nothing(*_: Any) -> None:
    """A handler, where SIG_IGN would be passed on to the processes that are started."""
