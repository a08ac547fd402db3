"""The learning rates of coming steps, as numbers for a graph."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from twofold_torch.optimizer import seek
from twofold_torch.program import Program


@final
class Rates:
    """Asks a program's schedule for the learning rates of steps to come."""

    def __init__(self, program: Program, device: torch.device) -> None:
        self._optimizer, self._schedule = program.optimizer, program.schedule
        self._device = device
        self._constant: dict[int, Tensor] = {}

    def of(self, steps: int) -> Tensor:
        """The learning rates of the next steps (steps,), float64; the schedule moves on."""
        optimizer, schedule = self._optimizer, self._schedule
        if schedule is None:
            if steps not in self._constant:
                rate = optimizer.param_groups[0]["lr"]
                self._constant[steps] = self._tensor([rate] * steps)
            return self._constant[steps]
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            seek(schedule, schedule.last_epoch + 1)
        return self._tensor(rates)

    def _tensor(self, rates: list[float]) -> Tensor:
        return torch.tensor(rates, dtype=torch.float64, device=self._device)
