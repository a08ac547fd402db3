"""A program for each process of a world: write a checkpoint in parts, or read one.

    python parts_in_a_world.py write|read|late ENGINE PRECISION FOLDER

`write` takes steps and writes states after 3 (the best) and 5, in parts, and beside them the whole
states as a session tells them. `read` reads them and compares every bit; nothing may be unpickled
meanwhile. `late` writes by the clock, which is late in the first process alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from twofold import Experiment, open_session, prepare
from twofold.engines.launch import watch_starter
from twofold.engines.session import Session
from twofold.engines.world import this_world
from twofold.problem import checkpoint
from twofold.problem.state import TrainState
from twofold.runs.checkpoints import Checkpoints
from twofold.runs.folder import RunFolder
from twofold.runs.run import run
from twofold.temporary import temporary_folder

BEST: Final = 3
STEPS: Final = 5


def opened(engine: str, precision: str) -> Session:
    """Shapes that four divides and others that it does not; a schedule, whose count is a state."""
    experiment = Experiment.load("diabetes").with_values(
        model__hidden=(8, 6),
        model__dropout=0.2,
        optimizer__schedule={"kind": "linear", "transition_steps": 18},
        precision=precision,
        training__epochs=2,
    )
    return open_session(prepare(experiment), engine)


def checkpoints(session: Session, own: Path, shared: Path) -> Checkpoints:
    """As a run has them; `own` is where this process alone writes."""
    place = RunFolder(shared if this_world().first else own)
    place.make()
    return Checkpoints(session, place, shared, in_parts=True)


def write(session: Session, own: Path, shared: Path) -> None:
    """Write in parts what others find, and whole what is told of it."""
    kept = checkpoints(session, own, shared)
    session.run(BEST)
    told, best = session.state(), session.keep()
    session.run(STEPS - BEST)
    kept.save(best)
    now = session.state()
    if this_world().first:
        checkpoint.save(told, shared / "told-best.safetensors")
        checkpoint.save(now, shared / "told-state.safetensors")


def read(session: Session, own: Path, shared: Path) -> None:
    """Read, compare, and go on with another step: the state is where the engine wants it."""
    unpickled: list[str] = []
    sys.addaudithook(partial(_note_unpickling, unpickled))
    step, best, wrong = checkpoints(session, own, shared).restore(1, lambda _: None)
    assert not unpickled, unpickled
    assert (step, wrong) == (STEPS, ()), (step, wrong)
    assert best is not None
    assert best.step == BEST
    _require_same(session.state(), checkpoint.load(shared / "told-state.safetensors"))
    _require_same(session.whole(best), checkpoint.load(shared / "told-best.safetensors"))
    session.run(1)
    session.go_back(best)
    session.run(STEPS - BEST)  # in another world: near what was written
    session.go_back(best)  # what is held was given to no step
    _require_same(session.state(), checkpoint.load(shared / "told-best.safetensors"))


def late(session: Session, own: Path, shared: Path) -> None:
    """Only the first process's clock says that a checkpoint is due at the end of an epoch."""
    place = shared if this_world().first else own
    seconds = 0.0 if this_world().first else 1e9
    run(session, place, every_seconds=seconds, shared=shared)


def _note_unpickling(seen: list[str], event: str, arguments: Any) -> None:
    """Python tells of every class that a pickle asks for ("audit events table")."""
    if event == "pickle.find_class":
        seen.append(str(arguments))


def _require_same(found: TrainState, told: TrainState) -> None:
    assert found.step == told.step
    assert set(found.tensors) == set(told.tensors)
    for name, array in told.tensors.items():
        assert found.tensors[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found.tensors[name], array, err_msg=name)


MODES: Final[dict[str, Callable[[Session, Path, Path], None]]] = {
    "write": write,
    "read": read,
    "late": late,
}


def main() -> None:
    """Open, then write or read."""
    watch_starter()
    mode, engine, precision, folder = sys.argv[1:]
    session = opened(engine, precision)
    with temporary_folder() as own:
        MODES[mode](session, own, Path(folder))


if __name__ == "__main__":
    main()
