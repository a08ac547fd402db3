"""States of several processes on disk, through Orbax.

Each process writes what its own devices have: of a state in parts its parts; of one that lies on
all devices each writes some (Orbax 0.12, `use_replica_parallel` of its array handler). Orbax keeps
arrays in TensorStore's OCDBT and what it says of them in JSON; nothing in it is a pickle. It checks
no digest of the arrays: whoever calls `read` has made sure of the files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import jax

from twofold.engines.parts import Held, Parts
from twofold.engines.world import LONGEST_WORDS, World
from twofold.errors import DataError, ResultError
from twofold_jax.state import State
from twofold_jax.world import exchange, first_says, require_same_bytes


@dataclass(frozen=True)
class Shared:
    """What an engine of several processes tells: its world, and how its state lies.

    `like` gives a state of shapes, dtypes and shardings.
    """

    world: World
    scattered: bool
    like: Callable[[], State]


@final
class OrbaxParts(Parts):
    """Writes and reads states with the other processes; a state held is a `State`."""

    form = "orbax"

    def __init__(
        self, shared: Shared, arithmetic: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """`arithmetic` is the context in which the engine's arrays exist."""
        self.scattered = shared.scattered
        self._world, self._like = shared.world, shared.like
        self._arithmetic = arithmetic

    def write(self, held: Held, folder: Path) -> None:
        """Write a state into a new folder, each process its own parts. Raises ResultError."""
        import orbax.checkpoint as ocp  # it takes seconds to load

        told = _told(ResultError, f"{folder}: cannot be written")
        writer = ocp.Checkpointer(ocp.StandardCheckpointHandler())
        args: Any = ocp.args.StandardSave(named_leaves(held.state))
        with self._arithmetic(), exchange(self._world), told, writer:
            writer.save(folder.resolve(), args=args)

    def read(self, folder: Path, step: int) -> Held:
        """Read what any number of processes wrote, each its own parts. Raises DataError."""
        import orbax.checkpoint as ocp

        like = self._like()
        wanted = named_leaves(like)
        told = _told(DataError, f"{folder}: cannot be read")
        reader = ocp.Checkpointer(ocp.StandardCheckpointHandler())
        args: Any = ocp.args.StandardRestore(wanted)
        with self._arithmetic(), exchange(self._world), told, reader:
            _require_like(wanted, reader.metadata(folder.resolve()).item_metadata.tree)
            found = reader.restore(folder.resolve(), args=args)
        structure = jax.tree.structure(like)
        state: State = jax.tree.unflatten(structure, [found[name] for name in wanted])
        return Held(step, state)

    def first_says(self, answer: bool) -> bool:
        """The first process's answer, in all of them."""
        return first_says(answer, self._world)

    def require_same(self, fingerprint: bytes) -> None:
        """Raise DataError where the processes have different fingerprints."""
        require_same_bytes(fingerprint, self._world)


def named_leaves(state: State) -> dict[str, Any]:
    """The arrays of a state under their paths, such as `params.layers.0.kernel`, in JAX's order."""
    leaves, _ = jax.tree.flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _require_like(wanted: dict[str, Any], known: dict[str, Any]) -> None:
    """Raise ValueError where names, shapes or dtypes are not those of this problem."""
    for name in sorted({*wanted, *known}):
        own, other = (
            None if each is None else f"{each.dtype} {tuple(each.shape)}"
            for each in (wanted.get(name), known.get(name))
        )
        if own != other:
            raise ValueError(f"{name}: {other or 'nothing'} there; allowed is {own or 'nothing'}")


@contextmanager
def _told(kind: type[DataError | ResultError], words: str) -> Iterator[None]:
    """Errors of Orbax and of the system in a sentence; a broken exchange is another matter.

    Orbax logs a traceback of what it raises. TensorStore's reason stands at the end of a long line.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        short = line if len(line) <= LONGEST_WORDS else line.rpartition(": ")[2]
        raise kind(f"{words}: {short[-LONGEST_WORDS:]}") from error
    finally:
        logger.setLevel(level)
