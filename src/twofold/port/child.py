"""A person's file judged in a process of its own, so that what it imports and sets stays there.

    python -m twofold.port.child mine.py '{"steps": 3}'

The child's standard output has lines of JSON and nothing else: rungs as they come, then the report
or an error. What the file itself prints goes to standard error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

from twofold.errors import BadInput, FrameworkMissing, SideFailed, TwofoldError
from twofold.port.calling import told
from twofold.port.report import PortReport, PortRung, from_json

_answers: TextIO = sys.stdout
ERRORS: Final = {kind.__name__: kind for kind in (BadInput, FrameworkMissing, SideFailed)}


def judge_file(
    file: Path,
    *,
    steps: int,
    gradients: bool = True,
    on_rung: Callable[[str, str], None] | None = None,
) -> PortReport:
    """The report on the pair that a file's `pair()` returns. Raises BadInput and SideFailed."""
    if not file.is_file():
        raise BadInput(f"{file}: no such file; allowed is a Python file that defines pair()")
    options = json.dumps({"steps": steps, "gradients": gradients})
    command = [sys.executable, "-m", "twofold.port.child", str(file), options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None  # opened as a pipe
        report: PortReport | None = None
        for line in process.stdout:
            message = json.loads(line)
            if "error" in message:
                raise ERRORS.get(message["error"], SideFailed)(message["message"])
            if "report" in message:
                report = from_json(message["report"])
            elif on_rung is not None:
                on_rung(message["rung"], message["verdict"])
        code = process.wait()
    if report is None:
        manner = f"exit code {code}" if code >= 0 else f"signal {-code}"
        raise SideFailed(f"{file}: the process ended with {manner} and without a report")
    return report


def main() -> None:
    """Judge the file named first on the command line, with options as JSON."""
    global _answers
    _answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    file, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        pair = _pair_of(file)
        report = pair.certify(options["steps"], gradients=options["gradients"], on_rung=_tell_rung)
    except TwofoldError as error:
        kinds = (kind for kind in type(error).__mro__ if kind.__name__ in ERRORS)
        _tell({"error": next(kinds, SideFailed).__name__, "message": str(error)})
    except Exception as error:
        _tell({"error": "SideFailed", "message": f"{file}: {told(error)}"})
    else:
        _tell({"report": report.to_json()})


def _pair_of(file: Path) -> Any:
    """What `pair()` of the file returns. Raises BadInput."""
    from twofold.port.pair import Pair

    sys.path.insert(0, str(file.absolute().parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise BadInput(f"{file}: cannot be imported; allowed is a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except TwofoldError:
        raise
    except Exception as error:
        raise BadInput(f"{file}: cannot be imported: {told(error)}") from error
    if not callable(getattr(module, "pair", None)):
        raise BadInput(f"{file}: has no pair(); allowed is a file that defines pair()")
    try:
        made = module.pair()
    except TwofoldError:
        raise
    except Exception as error:
        raise BadInput(f"{file}: pair(): {told(error)}") from error
    if not isinstance(made, Pair):
        raise BadInput(
            f"{file}: pair() returned a {type(made).__name__}; allowed is a twofold.port.Pair"
        )
    return made


def _tell_rung(rung: PortRung) -> None:
    _tell({"rung": rung.rung, "verdict": rung.verdict})


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), file=_answers, flush=True)


if __name__ == "__main__":
    main()
