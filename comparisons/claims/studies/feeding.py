"""What a DataLoader costs, with and without workers, for rows that are cheap or dear to fetch."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from comparisons.claims.claim import Findings
from comparisons.claims.paired import in_turns

ROWS: Final = 320
BATCH: Final = 64
PACKED_BYTES: Final = (0, 10_000, 50_000, 200_000)


class Packed(Dataset[Tensor]):
    """Rows that are unpacked when they are fetched, as images are decoded; 0 bytes: not packed."""

    def __init__(self, size: int) -> None:
        values = np.random.default_rng(0).integers(0, 16, max(size, 20), dtype=np.uint8)
        self.size = size
        self.plain = torch.from_numpy(values[:20].astype(np.float32))  # (20,)
        self.packed = zlib.compress(values.tobytes())

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> Tensor:
        if self.size == 0:
            return self.plain
        values = np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8)
        return torch.from_numpy(values[:20].astype(np.float32))


def loader_workers(quick: bool) -> Findings:
    """Seconds for an epoch with 0 and 2 workers, for rows of growing cost."""
    sizes = PACKED_BYTES[:2] if quick else PACKED_BYTES
    return {
        "conditions": f"DataLoader over {ROWS} rows in batches of {BATCH}, shuffled, 0 or 2 "
        "workers that persist; each row unpacked by zlib when it is fetched; an epoch a call",
        "cuda": torch.cuda.is_available(),
        "cases": [workers_case(size, 0.5 if quick else 3.0) for size in sizes],
    }


def workers_case(size: int, seconds: float) -> dict[str, Any]:
    rows = Packed(size)
    sides = {f"{workers} workers": epoch_of(rows, workers) for workers in (0, 2)}
    return {
        "bytes": size,
        "row_s": seconds_per_row(rows),
        "timed": in_turns(sides, seconds=seconds),
    }


def epoch_of(rows: Dataset[Any], workers: int) -> Callable[[], object]:
    loader = DataLoader(
        rows, batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )

    def epoch() -> int:
        return sum(1 for _ in loader)

    return epoch


def seconds_per_row(rows: Packed) -> float:
    calls = 100
    start = time.perf_counter()
    for row in range(calls):
        rows[row]
    return (time.perf_counter() - start) / calls


def loader_share(quick: bool) -> Findings:
    """An epoch of the lesson: training alone, with a DataLoader, and the DataLoader alone."""
    cases = []
    for batch, width in ((64, 128), (512, 512)):
        trainer = Lesson(batch, width)
        sides = {
            "batches by index": trainer.by_index,
            "DataLoader": trainer.from_loader,
        }
        timed = in_turns(sides, seconds=0.5 if quick else 5.0)
        cases.append({"size": f"batch {batch}, width {width}", "timed": timed})
    return {
        "conditions": "2,560 rows of 20 features, eager PyTorch with AdamW, an epoch a call; a "
        "DataLoader over a TensorDataset without workers, or the same rows taken by index",
        "cases": cases,
    }


class Lesson:
    """The lesson's training loop, fed in two ways."""

    def __init__(self, batch: int, width: int, rows: int = 2_560) -> None:
        torch.manual_seed(0)
        self.batch = batch
        self.inputs = torch.randn(rows, 20)
        self.labels = torch.randint(0, 3, (rows,))
        self.model = nn.Sequential(
            nn.Linear(20, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        data = TensorDataset(self.inputs, self.labels)
        self.loader = DataLoader(data, batch_size=batch, shuffle=True)

    def from_loader(self) -> None:
        for inputs, labels in self.loader:
            self.step(inputs, labels)

    def by_index(self) -> None:
        for rows in torch.randperm(len(self.inputs)).split(self.batch):
            self.step(self.inputs[rows], self.labels[rows])

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(inputs), labels).backward()
        self.optimizer.step()
