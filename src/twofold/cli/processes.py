"""The options with which a command runs in several processes, and what they make of this one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from twofold.engines.world import World

Processes = Annotated[
    int | None,
    typer.Option(
        help="Start so many processes here, which share each batch; few engines can.",
        metavar="N",
    ),
]
Coordinator = Annotated[
    str | None,
    typer.Option(
        help="Be one of --processes that are started by hand; process 0 listens here.",
        metavar="HOST:PORT",
    ),
]
Process = Annotated[
    int | None,
    typer.Option("--process", help="With --coordinator: which of them, from 0.", metavar="R"),
]
NOT_COPIED: Final = shutil.ignore_patterns("lock", ".*", "*.parts")


def enter(
    engines: tuple[str, ...], processes: int | None, coordinator: str | None, process: int | None
) -> World:
    """This process's place among those that share the training.

    With `--processes` alone the command is started anew in so many processes, and this one ends
    with their exit code. Raises BadInput for options, variables or engines that do not allow it.
    """
    from twofold.engines.launch import launch, require_number, watch_starter
    from twofold.engines.world import this_world, world_of
    from twofold.errors import BadInput

    if (coordinator is None) != (process is None) or (coordinator and processes is None):
        raise BadInput(
            "--coordinator, --process: allowed together, with --processes; give all three in every "
            "process, or --processes alone to have them started"
        )
    if processes is not None:
        require_number(processes)
    if coordinator is not None and process is not None and processes is not None:
        os.environ.update(world_of(coordinator, process, processes).variables())
    world = this_world()
    if max(world.size, processes or 1) > 1:
        _require_shared(engines)
    if processes is not None and processes != world.size:
        if world.size > 1:
            raise BadInput(
                f"--processes: {processes} given; this is one of {world.size} processes already; "
                "leave it out"
            )
        raise typer.Exit(launch(sys.argv[1:], processes))
    watch_starter()
    if not world.first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the first one speaks
    return world


def _require_shared(engines: tuple[str, ...]) -> None:
    from twofold.engines.registry import find_engine, shared_engines
    from twofold.errors import BadInput

    if len(engines) == 1 and find_engine(engines[0])[1].processes:
        return
    raise BadInput(
        f"engine: {', '.join(engines) or 'all'} given for several processes; allowed is one of "
        f"{', '.join(shared_engines())}; name one, or start one process"
    )


@contextmanager
def folder_of(world: World, folder: Path, *, resume: bool) -> Iterator[Path]:
    """The folder of a run: the run's own for the first process, one to be thrown away for others.

    So every process goes through the same run, and only the first leaves anything. To go on, the
    others' folder begins with a copy of the files in the run's own, which all must see.
    """
    from twofold.errors import ResultError
    from twofold.temporary import temporary_folder

    if world.first:
        yield folder
        return
    with temporary_folder() as within:
        own = within / "run"
        if resume and folder.is_dir():
            try:
                shutil.copytree(folder, own, ignore=NOT_COPIED)
            except OSError as error:
                raise ResultError(f"{folder}: cannot be read: {error}") from error
        yield own
