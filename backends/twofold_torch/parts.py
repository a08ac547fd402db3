"""States of several processes on disk, through `torch.distributed.checkpoint` as safetensors.

Every process has the whole state, so each writes some of its arrays: of those that all have,
`torch.distributed.checkpoint` lets the process with the least to write have the next one
(`_dedup_save_plans.py`, PyTorch 2.13). The files are safetensors with the names that a checkpoint
of one file has. They hold all that is read again (`hf_storage.py`, `read_metadata`), so that there
is no `.metadata`, which is a pickle. While it writes, PyTorch sends its plan from process to
process as pickles; none comes from a file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch

from twofold.engines.parts import Held, Parts
from twofold.engines.world import World
from twofold.errors import DataError, ResultError
from twofold.problem import checkpoint
from twofold_torch.world import exchange, first_says, require_same_bytes


@final
class DistributedParts(Parts):
    """Writes and reads states with the other processes; a state held is a `TrainState`."""

    form = "torch.distributed.checkpoint/safetensors"
    scattered = False

    def __init__(self, world: World) -> None:
        self._world = world

    def write(self, held: Held, folder: Path) -> None:
        """Write a state into a new folder, each process some arrays. Raises ResultError."""
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter  # slow to load
        from torch.distributed.checkpoint.state_dict_saver import save

        named = checkpoint.named_tensors(held.state)
        tensors: dict[str, Any] = {key: torch.from_numpy(each) for key, each in named.items()}
        writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
        with exchange(self._world), _told(ResultError, f"{folder}: cannot be written"):
            save(tensors, storage_writer=writer)

    def read(self, folder: Path, step: int) -> Held:
        """Read what any number of processes wrote. Raises DataError."""
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
        from torch.distributed.checkpoint.metadata import TensorStorageMetadata
        from torch.distributed.checkpoint.state_dict_loader import load

        with _told(DataError, f"{folder}: cannot be read"), warnings.catch_warnings():
            # It says that it reads as one process: each reads all, and need not ask the others.
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            reader = HuggingFaceStorageReader(str(folder))
            known = reader.read_metadata().state_dict_metadata
            tensors: dict[str, Any] = {
                name: torch.empty(each.size, dtype=each.properties.dtype)
                for name, each in known.items()
                if isinstance(each, TensorStorageMetadata)
            }
            load(tensors, storage_reader=reader, no_dist=True)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return Held(step, checkpoint.state_of(arrays, step))

    def first_says(self, answer: bool) -> bool:
        """The first process's answer, in all of them."""
        return first_says(answer, self._world)

    def require_same(self, fingerprint: bytes) -> None:
        """Raise DataError where the processes have different fingerprints."""
        require_same_bytes(fingerprint, self._world)


@contextmanager
def _told(kind: type[DataError | ResultError], words: str) -> Iterator[None]:
    """Errors of PyTorch and of the system in a sentence; a broken exchange is another matter."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:  # no Exception, PyTorch 2.13
        (reason, _), *_ = error.failures.values()
        raise kind(f"{words}: {_first_line(reason)}") from error
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise kind(f"{words}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
