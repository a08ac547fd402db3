"""How a command begins and ends: what interrupts it, and what dead processes left.

SIGTERM (sent by `kill`, `timeout` and those who stop services) and SIGHUP (a terminal that closes)
end a Python process at once: no `finally` runs, and children and temporary folders stay. In a
command they do what Ctrl-C does. Those who use Twofold as a library keep their own signals.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn

from twofold.errors import BadInput, EngineFailed, TwofoldError
from twofold.temporary import clear_leftovers

INTERRUPTED: Final = 130
INTERRUPTING: Final = ("SIGINT", "SIGTERM", "SIGHUP")
COLLECTED_EVERY: Final = (50_000, 20, 20)
"""Objects that are made between two searches for garbage; Python's own are 700, 10 and 10.

What importing a framework makes stays until the command ends, and is searched again and again: five
starts of `twofold train diabetes` with full caches took 0.88 to 0.93 of their time so, in three
engines.
"""
FULL: Final = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""No space on the disk, a limit on the size of a file, and one on what a user may store."""


def begin_command() -> None:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, and clear what dead processes left.

    Garbage is searched for less often than Python does by itself.

    A signal that is ignored (as SIGHUP under `nohup`) or that has a handler stays as it is. SIGINT
    has Python's own, but not while a script of `comparisons` imports.
    """
    if threading.current_thread() is threading.main_thread():  # only there signals can be set
        for name in INTERRUPTING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _interrupt)
    gc.set_threshold(*COLLECTED_EVERY)
    clear_leftovers(tempfile.gettempdir())


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run the main function of a command and exit with its code; 130 when interrupted.

    An error of Twofold's own is told in a sentence, with its exit code; so are too little memory
    and a disk that is full. What nobody foresaw is told with its traceback and code 3: code 1 says
    that something diverges, and nothing else may say so.
    """
    try:
        code = _code_of(main)
    except KeyboardInterrupt:
        code = _told("interrupted", INTERRUPTED, beginning="")
    if code == INTERRUPTED:
        _leave(code)
    sys.exit(code)


def _code_of(main: Callable[[], int]) -> int:
    try:
        try:
            begin_command()
            return main()
        finally:
            sys.stdout.flush()
    except SystemExit as ending:  # how Typer ends
        if ending.code is None or isinstance(ending.code, int):
            return ending.code or 0
        raise
    except TwofoldError as error:
        return _told(str(error), error.exit_code)
    except MemoryError as error:
        return _told(f"not enough memory; use smaller sizes ({error})", BadInput.exit_code)
    except OSError as error:
        if error.errno not in FULL:
            return _unforeseen()
        code = _told(_what_is_full(error), BadInput.exit_code)
        _drop_output()
        return code
    except Exception:
        return _unforeseen()


def _leave(code: int) -> NoReturn:
    """End at once; all blocks that clean up have run.

    A computation that JAX has begun goes on while Python takes its modules apart. That ended 12 of
    45 interrupted trainings by SIGSEGV (jaxlib 0.10).
    """
    for name in INTERRUPTING:
        number = getattr(signal, name, None)
        if number is not None and threading.current_thread() is threading.main_thread():
            signal.signal(number, _nothing)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextmanager
def interruptions_wait() -> Iterator[Callable[[], None]]:
    """Let an interruption wait until the function that is given here is called: that raises it.

    A second one does not wait. Python raises KeyboardInterrupt wherever the program is. Within a
    call of JAX that ended 2 of 90 trainings by SIGSEGV or SIGABRT (jaxlib 0.10).
    """
    waiting = False

    def note(*_: Any) -> None:
        nonlocal waiting
        if waiting:
            raise KeyboardInterrupt
        waiting = True
        with suppress(OSError):  # not by print, which may be at work itself
            os.write(2, b"\nstopping as soon as this may stop; interrupt again to stop at once\n")

    def look() -> None:
        if waiting:
            raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name, None) for name in INTERRUPTING]
        before = {n: signal.getsignal(n) for n in numbers if n is not None}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, note)
    try:
        yield look
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _told(message: str, code: int, beginning: str = "error: ") -> int:
    with suppress(OSError):  # where messages cannot be written either
        print(f"{beginning}{message}", file=sys.stderr, flush=True)
    return code


def _unforeseen() -> int:
    with suppress(OSError):
        traceback.print_exc()
    return EngineFailed.exit_code


def _what_is_full(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename is not None else ""
    return (
        f"{where}cannot be written: {error.strerror}; free some space, or write elsewhere; result "
        "files that stood there before are as they were"
    )


def _drop_output() -> None:
    """Let what could not be printed go: Python would try again when it ends, and exit with 120."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def _interrupt(number: int, _: Any) -> NoReturn:
    """Raise KeyboardInterrupt, once: a second signal must not break off the cleaning up."""
    signal.signal(number, _nothing)
    raise KeyboardInterrupt


def _nothing(*_: Any) -> None:
    """A handler, where SIG_IGN would be passed on to the processes that are started."""
