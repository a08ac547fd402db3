"""A program for each process of a world: climb the ladder, with a bug planted on purpose or none.

    python climb_in_a_world.py ENGINE BUG FILE

The first process writes each rung's verdict to the file, as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from twofold import Experiment, prepare
from twofold.engines.launch import watch_starter
from twofold.engines.registry import open_session
from twofold.engines.world import this_world
from twofold.parity.certify import climb, processes_of
from twofold.parity.ladder.reference import build_reference
from twofold.parity.ladder.rungs import WITHOUT_EXPORT
from twofold.problem.problem import initial_state

EXPERIMENT: Final = Experiment.load("diabetes").with_values(
    model__hidden=(8,), model__dropout=0.3, data__batch_size=32
)
DEVICES: Final = 3


def without_shares() -> None:
    """The mean over processes, whatever rows they have."""
    ddp: Any = importlib.import_module("twofold_torch.ddp")
    right = ddp.DataParallel._own_part
    ddp.DataParallel._own_part = lambda *given: replace(right(*given), share=1.0)


def masks_of_the_first_rows() -> None:
    """Every process has the masks that it would have if its rows were the first of the batch."""
    ddp: Any = importlib.import_module("twofold_torch.ddp")
    ddp.rows_of = lambda masks, rows: tuple(mask[: rows.stop - rows.start] for mask in masks)


def filled_rows_count() -> None:
    """The rows that were filled up are not cut off again."""
    sharded: Any = importlib.import_module("twofold_jax.sharded")
    sharded._cutting = lambda function: lambda _, state, *arrays: function(state, *arrays)


def other_state() -> None:
    """The second process is given the state of a later step."""
    session = open_session(prepare(EXPERIMENT), sys.argv[1])
    session.load_state(replace(initial_state(session.problem), step=this_world().rank))


def several_devices() -> None:
    """No bug: this one process has a mesh of devices of its own."""
    jax: Any = importlib.import_module("jax")
    jax.config.update("jax_num_cpu_devices", DEVICES)


def filled_rows_of_several_devices() -> None:
    """Both of the above."""
    several_devices()
    filled_rows_count()


def parts_of_other_devices() -> None:
    """Of an array of the state every device has the part that is another's."""
    sharded: Any = importlib.import_module("twofold_jax.sharded")
    placed = sharded.Placement.placed
    sharded.Placement.placed = lambda place, leaf, sharding: placed(
        place, leaf if sharding.is_fully_replicated else np.roll(leaf, len(leaf) // 2, 0), sharding
    )


BUGS: Final[dict[str, Callable[[], None]]] = {
    "none": lambda: None,
    "several devices": several_devices,
    "without shares": without_shares,
    "masks of the first rows": masks_of_the_first_rows,
    "filled rows count": filled_rows_of_several_devices,
    "parts of other devices": parts_of_other_devices,
    "other state": other_state,
}


def main() -> None:
    """Plant, climb, write."""
    watch_starter()
    engine, bug, file = sys.argv[1:]
    BUGS[bug]()
    reference = build_reference(prepare(EXPERIMENT), processes_of(engine))
    rungs = climb(engine, reference, steps=3, ladder=WITHOUT_EXPORT)
    if this_world().first:
        verdicts = {rung.rung: rung.verdict for rung in rungs}
        Path(file).write_text(json.dumps(verdicts), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
