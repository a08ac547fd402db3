"""The process that runs the cases: one line of JSON for each, so that a crash loses one case only.

python -m comparisons.evidence.attacks.child ATTACK SEED FIRST END
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Final

from comparisons.evidence.attacks.sections import load
from twofold.errors import TwofoldError
from twofold.temporary import temporary_folder
from twofold.timing.memory import forget_peak, peak_memory_bytes

LONGEST_MESSAGE: Final = 30_000
SHOWN: Final = 300


def main() -> int:
    """Run the cases FIRST to END - 1 and tell each as soon as it is over."""
    attack, seed, first, end = sys.argv[1], *map(int, sys.argv[2:5])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.simplefilter("ignore")
    run = load(attack)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for number in range(first, end):
        with temporary_folder() as folder:
            forget_peak()
            before, start = _peak_bytes(), time.process_time()
            outcome, words = told(run, seed, number, folder)
            answer = {
                "case": number,
                "outcome": outcome,
                "words": words,
                "seconds": time.process_time() - start,
                "bytes": _peak_bytes() - before,
            }
        print(json.dumps(answer), file=answers, flush=True)
    return 0


def _peak_bytes() -> int:
    """The most memory so far. Without it nothing could be said of memory, so it is an error."""
    peak = peak_memory_bytes()
    if peak is None:
        raise RuntimeError("this system does not say how much memory a process has held")
    return peak


def told(run: object, seed: int, number: int, folder: Path) -> tuple[str, str]:
    """What came of a case, with the beginning of the message; foreign errors are named as such."""
    assert callable(run)
    try:
        return str(run(seed, number, folder)), ""
    except TwofoldError as error:
        kind, text = type(error).__name__, str(error)
        if len(text) > LONGEST_MESSAGE:
            return f"foreign: a message of more than {LONGEST_MESSAGE} characters", text[:SHOWN]
        return kind, text[:SHOWN]
    except Exception as error:
        return f"foreign: {type(error).__name__}", f"{_place(error)}: {error}"[:SHOWN]


def _place(error: BaseException) -> str:
    """The last line of Twofold's own that the error went through."""
    found, at = "", error.__traceback__
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        if re.search(r"/(src|comparisons)/", name) and not name.endswith("child.py"):
            found = f"{Path(name).name}:{at.tb_lineno}"
        at = at.tb_next
    return found


if __name__ == "__main__":
    sys.exit(main())
