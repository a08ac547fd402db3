"""The C++ compiler of this machine, without which no engine of PyTorch compiles for the CPU."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Final

from twofold.errors import CompilerMissing

NEXT_BEST: Final = "eager-fused"


def why_no_compiler() -> str | None:
    """Why nothing can be compiled for the CPU here, and what to do; None if it can.

    As `cpp.cxx` in `torch/_inductor/config.py` (PyTorch 2.13): CXX if set, else the system's own.
    """
    own = "clang++" if sys.platform == "darwin" else "g++"
    named = os.environ.get("CXX")
    if shutil.which(named or own):
        return None
    if named:
        return f"CXX names {named!r}, which is not on the PATH: correct it or unset it"
    command = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
    return f"{own} is not on the PATH: install it with {command}"


def require_compiler() -> None:
    """Raise CompilerMissing where nothing can be compiled for the CPU."""
    reason = why_no_compiler()
    if reason:
        raise CompilerMissing(
            f"this engine compiles C++, and {reason}; or take the quickest engine that compiles "
            f"nothing: torch:{NEXT_BEST}"
        )
