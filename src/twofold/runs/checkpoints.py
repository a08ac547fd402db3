"""The checkpoints of a run: files of whole states, or folders that several processes write.

A run may have some of either kind, and goes on from the newest that is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from twofold.engines.parts import Held, Parts
from twofold.engines.session import Session
from twofold.engines.world import this_world
from twofold.errors import DataError, SpecError
from twofold.runs import parts
from twofold.runs.folder import RunFolder, named

KEPT: Final = 2  # the newest, and the one before it, should the disk have lost the newest


def writes_parts(session: Session, asked: bool | None) -> bool:
    """Whether each process writes its part: as asked, else where the state lies in parts.

    Raises SpecError where the engine cannot.
    """
    able = session.parts()
    if asked and able is None:
        raise SpecError(
            f"--checkpoint-parts: given with {session.engine}, whose checkpoints are one file; "
            "allowed are the engines of several processes; leave it out"
        )
    return able is not None and (able.scattered if asked is None else asked)


@final
class Checkpoints:
    """Writes and reads the checkpoints of a session's run; all processes call the same methods.

    `place` is this process's own; parts lie in `shared`, the run's folder, which all see. With
    `in_parts` they are written so.
    """

    def __init__(self, session: Session, place: RunFolder, shared: Path, *, in_parts: bool) -> None:
        self._session = session
        self._place = place
        self._shared = shared / place.checkpoints.name
        self._in_parts = in_parts
        self._first = this_world().first

    def is_late(self, own: bool) -> bool:
        """Whether one is due by the clock: the first process's, for each has its own."""
        able = self._session.parts()
        return own if able is None else able.first_says(own)

    def save(self, best: Held | None) -> None:
        """Write the session's state and that of the best epoch; older ones than KEPT go.

        Raises ResultError or DataError where that cannot be.
        """
        able = self._session.parts()
        if self._in_parts and able is not None:
            now = self._save_parts(able, best)
        else:
            state = self._session.state()
            self._place.save(state, None if best is None else self._session.whole(best))
            now = state.step
        # Later ones are damaged: the run went on from before them. Only a process that writes or
        # reads parts has to see the shared folder.
        found = self._found() if self._in_parts or self._first else self._own()
        kept = sorted({step for step, _ in found if step <= now}, reverse=True)[:KEPT]
        self._place.keep_only(kept)
        if self._first:
            for step, path in named(self._shared, parts.NAME):
                if step not in kept:
                    parts.remove(path)

    def _save_parts(self, able: Parts, best: Held | None) -> int:
        held = self._session.held()
        folder = parts.under_way(self._shared, held.step)
        try:
            if self._first:
                parts.begin(self._shared, held.step)
            able.first_says(True)  # the folder is there
            able.write(held, folder / parts.STATE)
            if best is not None:
                able.write(best, folder / parts.BEST)
            able.first_says(True)  # all have written
            if self._first:
                parts.seal(self._shared, held.step, best.step if best else None, able.form)
        except BaseException:
            if self._first:  # of no use, and the disk may be full
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return held.step

    def restore(
        self, best_from: int | None, require: Callable[[int], None]
    ) -> tuple[int | None, Held | None, tuple[str, ...]]:
        """Put the newest whole checkpoint into the session.

        Returns its step (None where none is), the state of the best epoch until then, and what is
        wrong with newer ones. From the step `best_from` on, one is whole only with that state.
        `require` may refuse a step before anything is put in. Raises DataError where processes do
        not find the same.
        """
        wrong: list[str] = []
        for step, in_parts in sorted(self._found(), reverse=True):
            has_best = best_from is not None and step >= best_from
            read = self._parts_of if in_parts else self._file_of
            try:
                put_in = read(step, has_best)
            except DataError as error:
                wrong.append(str(error))
                continue
            require(step)
            return step, put_in(), tuple(wrong)
        return None, None, tuple(wrong)

    def _found(self) -> list[tuple[int, bool]]:
        """Steps of which there are checkpoints, and whether in parts."""
        in_parts = ((step, True) for step, _ in named(self._shared, parts.NAME))
        return [*self._own(), *in_parts]

    def _own(self) -> list[tuple[int, bool]]:
        return [(step, False) for step in self._place.found()]

    def _file_of(self, step: int, has_best: bool) -> Callable[[], Held | None]:
        """What puts the files of a step into the session. Raises DataError for damaged ones."""
        found = self._place.read(step, has_best=has_best)

        def put_in() -> Held | None:
            self._session.load_state(found.state)
            return None if found.best is None else self._session.hold(found.best)

        return put_in

    def _parts_of(self, step: int, has_best: bool) -> Callable[[], Held | None]:
        """What puts the parts of a step into the session. Raises DataError for damaged ones."""
        path, able = parts.path_of(self._shared, step), self._session.parts()
        found = parts.checked(path, step)
        if able is None or found.form != able.form:
            raise DataError(
                f"{path}: in the form {found.form}, which {self._session.engine} does not read"
            )
        if has_best and found.best is None:
            raise DataError(f"{path}: the state of the best epoch is not in it")

        def put_in() -> Held | None:
            able.require_same(found.fingerprint)
            self._session.go_back(able.read(path / parts.STATE, step))
            if not has_best or found.best is None:
                return None
            return able.read(path / parts.BEST, found.best)

        return put_in
