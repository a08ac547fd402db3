"""Which framework is ahead for which batch size, width and depth? The quick sweep, kept.

    python -m comparisons.sweep [--store]

Takes the options of `twofold sweep`; result and charts go to the folder of this processor, with
`--store` to the committed one, unless `--out` and `--figures` say otherwise. Run again, it goes on
with what is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from comparisons.folders import results_folder
from twofold.cli import main as command_line


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweep; exits as `twofold sweep` does."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    store = "--store" in given
    given = [option for option in given if option != "--store"]
    folder = results_folder(store=store)
    if "--out" not in given:
        folder.mkdir(parents=True, exist_ok=True)
        given += ["--out", str(folder / "sweep-lesson.json")]
        if "--figures" not in given:
            given += ["--figures", str(folder / "figures")]
    sys.argv = ["twofold", "sweep", *given]
    command_line.main()


if __name__ == "__main__":
    main()
