"""How a model is called with a batch, and how an error of its own code is told."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

from twofold.backends.installed import backends, packages
from twofold.errors import BadInput

WATCHERS: Final = (
    *("wide.py", "calling.py", "operations.py", "sites.py", "captured.py"),
    *("places.py", "changed.py", "tables.py"),
)
TRAINING: Final = ("training", "train", "is_training")
EVALUATION: Final = ("deterministic", "use_running_average")


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters of a function; () if it does not tell."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def accepts_any_keyword(function: Callable[..., Any]) -> bool:
    """Whether a function takes **keywords."""
    try:
        kinds = [item.kind for item in inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return False
    return inspect.Parameter.VAR_KEYWORD in kinds


def arguments(
    batch: Any,
    inputs: Sequence[int | str] | None,
    function: Callable[..., Any],
    has_loss: bool,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a model's call takes of a batch: positional and keyword arguments. Raises BadInput.

    `inputs` name keys or positions, passed by position. Without them a mapping passes the keys that
    the call takes; a tuple passes everything, but its last item where a loss is there to use it.
    """
    if inputs is not None:
        return tuple(_item(batch, key) for key in inputs), {}
    if isinstance(batch, Mapping):
        names = parameter_names(function)
        taken = {key: value for key, value in batch.items() if key in names}
        if not taken and not has_loss and accepts_any_keyword(function):
            taken = dict(batch)
        if not taken:
            raise BadInput(
                f"batch: keys {', '.join(map(str, batch))} given; the model takes "
                f"{', '.join(names) or 'no names'}; say inputs=(...) with the keys to pass by "
                "position, or give call="
            )
        return (), taken
    if isinstance(batch, tuple | list):
        return tuple(batch[:-1] if has_loss and len(batch) > 1 else batch), {}
    return (batch,), {}


def _item(batch: Any, key: int | str) -> Any:
    try:
        return batch[key]
    except (KeyError, IndexError, TypeError):
        known = list(batch) if isinstance(batch, Mapping) else list(range(len(batch)))
        raise BadInput(
            f"inputs: {key!r} given; the batch has {', '.join(map(repr, known))}"
        ) from None


def mode_keywords(function: Callable[..., Any], training: bool) -> dict[str, bool]:
    """The keywords by which a call is told its mode, as Flax's examples name them."""
    names = parameter_names(function)
    told = {name: training for name in TRAINING if name in names}
    return told | {name: not training for name in EVALUATION if name in names}


def is_library(frame: FrameType) -> bool:
    """Whether a frame runs code of a framework, of Twofold or of Python itself."""
    top = _top(frame)
    if frame.f_code.co_filename.startswith("<"):  # made by a library, unless it is what was run
        return frame.f_globals.get("__name__") != "__main__"
    return top in _libraries() or top.startswith("twofold") or top in sys.stdlib_module_names


@cache
def _libraries() -> frozenset[str]:
    """What the backends need, and the packages that these bring along."""
    return frozenset((*packages(), *(name for owner in backends() for name in owner.frameworks)))


def _top(frame: FrameType) -> str:
    name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return "" if name == "__main__" else name


def short(filename: str) -> str:
    """A file as a person looks for it: below the working folder, or inside its package."""
    path = Path(filename)
    if "site-packages" in path.parts:
        return str(Path(*path.parts[path.parts.index("site-packages") + 1 :]))
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return path.name


def own_line(frame: FrameType | None = None) -> str:
    """The innermost line of the person's own code that runs, such as "models.py:17"; else "".

    Where the judge itself called a framework, as for a backward pass, no line is the person's: what
    lies outside is who asked the judge. So the search ends at the first frame of a side.
    """
    at: FrameType | None = frame or sys._getframe(1)
    while at is not None:
        if _top(at).startswith("twofold") and not at.f_code.co_filename.endswith(WATCHERS):
            return ""
        if not is_library(at):
            return f"{short(at.f_code.co_filename)}:{at.f_lineno}"
        at = at.f_back
    return ""


def failure_place(traceback: TracebackType | None) -> str:
    """The innermost own line of an error; "" if there is none."""
    place = ""
    while traceback is not None:
        if not is_library(traceback.tb_frame):
            place = f"{short(traceback.tb_frame.f_code.co_filename)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def told(error: BaseException, limit: int = 300) -> str:
    """An error in a line: its kind, its first sentence and its place."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = f"{type(error).__name__}: {first[:limit]}" if first else type(error).__name__
    place = failure_place(error.__traceback__)
    return f"{place}: {text}" if place else text
