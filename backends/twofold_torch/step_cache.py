"""Compiled steps on disk, for the next start: shared libraries, found by what they compute.

A library's name is its key and the digest of its content, so that one file says both what it is
and whether it is whole: a file that was cut short, or written by halves, is not loaded. The key is
made of all that decides what the library holds: the fingerprint of the function, PyTorch, how it is
compiled, the processor and the number of threads. So another machine or version finds nothing, and
compiles.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor

from twofold.cache import processor_kind
from twofold.files import write_atomically

LOG: Final = logging.getLogger(__name__)
FORMAT: Final = "twofold-step-1"


@final
class StepLibrary:
    """A compiled function of tensors, loaded from a shared library of AOTInductor.

    PyTorch's `AOTIModelContainerRunnerCpu` (2.13, `torch/_C/_aoti.pyi`) loads it in a millisecond
    and needs no compiler.
    """

    def __init__(self, path: Path) -> None:
        """Raises RuntimeError for a file that this process cannot load."""
        self._runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(path), 1)
        self._run = self._runner.run

    def bind(self, tensors: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
        """The function of these tensors, to be called without saying them again."""
        run, given = self._run, list(tensors)
        return lambda: run(given)


def folder() -> Path:
    """Where compiled steps lie: within the folder of Inductor's own cache.

    As `default_cache_dir` of PyTorch 2.13 (`torch/_inductor/runtime/cache_dir_utils.py`), without
    loading Inductor.
    """
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if given:
        return Path(given) / "twofold"
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = "unknown"
    name = "".join(each if each.isalnum() or each in "-_." else "_" for each in user)
    return Path(tempfile.gettempdir()) / f"torchinductor_{name}" / "twofold"


def key(fingerprint: str, recipe: str) -> str:
    """The key of a function that is compiled by a recipe, in 40 hexadecimal digits."""
    parts = (
        FORMAT,
        fingerprint,
        recipe,
        torch.__version__,
        str(torch.version.git_version),
        processor_kind(),
        torch.backends.cpu.get_cpu_capability(),
        str(torch.get_num_threads()),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


def find(name: str) -> StepLibrary | None:
    """The library of a key; None where there is none that is whole and can be loaded."""
    try:
        found = sorted(folder().glob(f"{name}.*.so"))
    except OSError:
        return None
    for path in found:
        library = _loaded(path)
        if library is not None:
            return library
    return None


def _loaded(path: Path) -> StepLibrary | None:
    try:
        if _name(path.name.split(".")[0], path.read_bytes()) == path.name:
            return StepLibrary(path)
        reason = "it is damaged"
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
    LOG.warning("the compiled step %s cannot be used: %s; it is compiled again", path, reason)
    with suppress(OSError):
        path.unlink(missing_ok=True)
    return None


def keep(name: str, library: Path) -> None:
    """Keep a library under a key for the next start, or say why that cannot be done."""
    data = library.read_bytes()
    place = folder()
    try:
        write_atomically(place / _name(name, data), data)
    except OSError as error:
        LOG.warning(
            "%s: compiled steps cannot be kept there: %s; the next start compiles again; "
            "TORCHINDUCTOR_CACHE_DIR names another folder",
            place,
            error.strerror or error,
        )


def _name(key: str, data: bytes) -> str:
    return f"{key}.{hashlib.sha256(data).hexdigest()[:32]}.so"


def recipe_of(*values: Any) -> str:
    """One text of all that says how a function is compiled."""
    return hashlib.sha256(repr(values).encode()).hexdigest()
