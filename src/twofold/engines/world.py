"""The processes that share one training, and which of them this one is.

Every process runs the same program: the same experiment, the same draws, the same calls of its
session. Of each batch it computes its own rows; what its session answers is that of all rows. So
whatever is asked of one has to be asked of all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twofold.errors import BadInput, DataError, EngineFailed
from twofold.problem.state import TrainState

RANK: Final = "RANK"
SIZE: Final = "WORLD_SIZE"
HOST: Final = "MASTER_ADDR"
PORT: Final = "MASTER_PORT"
"""The variables in which `torchrun` tells each process its place (PyTorch 2.13, documentation of
`torch.distributed`: "Environment variable initialization"); `twofold --processes` sets the same."""

LOCAL_RANK: Final = "LOCAL_RANK"
"""And which of its machine's processes this is; an engine on GPUs takes the GPU of that number."""

GIVE_UP_S: Final = 300
"""How long a process waits for another that lives: one has more to do than another between two
exchanges. One that has died closes its connections, which the others see at once."""
SILENT_S: Final = 45
"""How long a machine may give no sign of life before the others end, where that is watched."""

LONGEST_WORDS: Final = 200


@dataclass(frozen=True)
class World:
    """`size` processes, of which this is number `rank`; they meet at `address`, "host:port"."""

    rank: int = 0
    size: int = 1
    address: str = ""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks to the person."""
        return self.rank == 0

    def variables(self) -> dict[str, str]:
        """The variables from which `this_world` reads this value."""
        host, _, port = self.address.rpartition(":")
        return {RANK: str(self.rank), SIZE: str(self.size), HOST: host, PORT: port}


ALONE: Final = World()


def this_world(variables: Mapping[str, str] = os.environ) -> World:
    """The world that this process was started in; ALONE where nothing says otherwise.

    Raises BadInput for variables that do not fit together.
    """
    if variables.get(SIZE, "1") == "1":
        return ALONE
    size, rank, port = (_number(variables, name) for name in (SIZE, RANK, PORT))
    host = variables.get(HOST, "")
    if not 0 <= rank < size:
        raise BadInput(f"{RANK}: {rank} given; allowed is 0 to {size - 1}, below {SIZE}")
    if not host:
        raise BadInput(f"{HOST}: not set, and {SIZE} is {size}; set it to where process 0 runs")
    return World(rank, size, f"{host}:{port}")


def place_on_machine(variables: Mapping[str, str] = os.environ) -> int | None:
    """Which of its machine's processes this is, from 0; None where nothing says it.

    Raises BadInput for what is no number.
    """
    return _number(variables, LOCAL_RANK) if LOCAL_RANK in variables else None


def world_of(coordinator: str, process: int, processes: int) -> World:
    """The world that options describe. Raises BadInput."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise BadInput(
            f"--coordinator: {coordinator!r} given; allowed is HOST:PORT, of the machine where "
            "process 0 runs and a free port there, such as 127.0.0.1:29500"
        )
    if not 0 <= process < processes:
        raise BadInput(
            f"--process: {process} given; allowed is 0 to {processes - 1}, below --processes"
        )
    return World(process, processes, coordinator)


def _number(variables: Mapping[str, str], name: str) -> int:
    given = variables.get(name, "")
    if not given.isdigit():
        raise BadInput(f"{name}: {given!r} given; allowed is a number, as torchrun sets it")
    return int(given)


def fingerprint(state: TrainState) -> bytes:
    """32 bytes that differ where two train states differ in a single bit."""
    digest = hashlib.sha256(str(state.step).encode())
    for name, array in sorted(state.tensors.items()):
        digest.update(name.encode() + array.tobytes())
    return digest.digest()


def require_same(fingerprints: Sequence[bytes], world: World) -> None:
    """Raise DataError where the processes, in the order of their ranks, have several states."""
    own = fingerprints[world.rank]
    for rank, other in enumerate(fingerprints):
        if other != own:
            raise DataError(
                f"process {world.rank} of {world.size}: process {rank} was given another train "
                "state; give all processes the same spec, and the same folder to go on from"
            )


def left_alone(world: World, error: Exception) -> EngineFailed:
    """The error of a process whose exchange with another one failed, in words."""
    reason = str(error).strip().splitlines()[0].partition(". ")[0][:LONGEST_WORDS]
    return EngineFailed(
        f"process {world.rank} of {world.size}: another process has ended, or was silent for "
        f"{GIVE_UP_S} s; all end, and a training goes on with --resume ({reason})"
    )
