"""A person's file judged in a process of its own, so that what it imports and sets stays there.

    python -m twofold.port.child mine.py '{"task": "judge", "steps": 3, "gradients": true}'

The child's standard output has lines of JSON and nothing else: rungs as they come, then the answer
or an error. What the file itself prints goes to standard error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from twofold.errors import BadInput, DataError, FrameworkMissing, SideFailed, TwofoldError
from twofold.port.calling import told
from twofold.port.report import PortReport, PortRung, from_json

_answers: TextIO = sys.stdout
ERRORS: Final = {
    kind.__name__: kind for kind in (DataError, BadInput, FrameworkMissing, SideFailed)
}


def judge_file(
    file: Path,
    *,
    steps: int,
    gradients: bool = True,
    on_rung: Callable[[str, str], None] | None = None,
) -> PortReport:
    """The report on the pair that a file's `pair()` returns. Raises BadInput and SideFailed."""
    options = {"task": "judge", "steps": steps, "gradients": gradients}

    def tell(message: dict[str, Any]) -> None:
        if on_rung is not None:
            on_rung(message["rung"], message["verdict"])

    return from_json(_answer(file, options, tell))


def map_file(file: Path) -> dict[str, Any]:
    """The mapping of a file's pair: "toml", "open" (how many choices), "left_over", "doubts".

    Raises BadInput and SideFailed.
    """
    found: dict[str, Any] = _answer(file, {"task": "map"})
    return found


def convert_file(file: Path, state: Path, output: Path, *, back: bool) -> dict[str, Any]:
    """Convert a safetensors file with the mapping of a file's pair; answers "tensors", "left_over".

    Raises BadInput, DataError and SideFailed.
    """
    options = {"task": "convert", "state": str(state), "output": str(output), "back": back}
    done: dict[str, Any] = _answer(file, options)
    return done


def _answer(
    file: Path,
    options: Mapping[str, Any],
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Any:
    """What the child answers at the end; what it tells before goes to `tell`."""
    if not file.is_file():
        raise BadInput(f"{file}: no such file; allowed is a Python file that defines pair()")
    command = [sys.executable, "-m", "twofold.port.child", str(file), json.dumps(options)]
    answer: list[Any] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None  # opened as a pipe
        for line in process.stdout:
            message = json.loads(line)
            if "error" in message:
                raise ERRORS.get(message["error"], SideFailed)(message["message"])
            if "answer" in message:
                answer.append(message["answer"])
            else:
                tell(message)
        code = process.wait()
    if not answer:
        manner = f"exit code {code}" if code >= 0 else f"signal {-code}"
        raise SideFailed(f"{file}: the process ended with {manner} and without an answer")
    return answer[0]


def main() -> None:
    """Do the task that the options say with the file named first on the command line."""
    global _answers
    _answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    file, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    tasks = {"judge": _judge, "map": _map, "convert": _convert}
    try:
        answer = tasks[options["task"]](_pair_of(file), options)
    except TwofoldError as error:
        kinds = (kind for kind in type(error).__mro__ if kind.__name__ in ERRORS)
        _tell({"error": next(kinds, SideFailed).__name__, "message": str(error)})
    except Exception as error:
        _tell({"error": "SideFailed", "message": f"{file}: {told(error)}"})
    else:
        _tell({"answer": answer})


def _judge(pair: Any, options: Mapping[str, Any]) -> object:
    report = pair.certify(options["steps"], gradients=options["gradients"], on_rung=_tell_rung)
    return report.to_json()


def _map(pair: Any, options: Mapping[str, Any]) -> object:
    from twofold.port.weights import toml

    del options
    weights = pair.weights
    return {
        "toml": toml.dump(weights),
        "links": len(weights.links),
        "open": len(weights.open_choices),
        "left_over": weights.left_over,
        "doubts": weights.doubts,
    }


def _convert(pair: Any, options: Mapping[str, Any]) -> object:
    from twofold.port.weights import states

    weights, state = pair.weights, states.load(options["state"])
    converted = weights.convert_back(state) if options["back"] else weights.convert(state)
    states.save(converted, options["output"])
    return {
        "tensors": len(converted),
        "open": len(weights.open_choices),
        "left_over": weights.left_over[0 if options["back"] else 1],
    }


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
