"""The experiment through Lightning and skorch, which train PyTorch modules.

Same data, same initial values; PyTorch's own order of batches and dropout masks.
"""

from __future__ import annotations

import itertools
from typing import Any, final

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from comparisons.loops.parts import NO_LOSSES, Parts, layer_sizes
from twofold.problem.problem import Problem, initial_parameters


def network(problem: Problem) -> nn.Sequential:
    """The lesson's network as a stack, with Twofold's initial values."""
    model = problem.experiment.model
    assert model.kind == "mlp"
    *hidden, output = list(itertools.pairwise(layer_sizes(problem)))
    layers: list[nn.Module] = []
    for fan_in, fan_out in hidden:
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU(), nn.Dropout(model.dropout)]
    stack = nn.Sequential(*layers, nn.Linear(*output))
    with torch.no_grad():
        arrays = initial_parameters(problem).values()
        for parameter, array in zip(stack.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array.copy()))
    return stack


def optimizer_options(problem: Problem) -> dict[str, Any]:
    """The keywords of `torch.optim.AdamW`."""
    optimizer = problem.experiment.optimizer
    assert optimizer.kind == "adamw"
    return {
        "lr": optimizer.learning_rate,
        "betas": optimizer.betas,
        "eps": optimizer.eps,
        "weight_decay": optimizer.weight_decay,
    }


@final
class LightningLoop:
    """A LightningModule and a Trainer for each run."""

    def __init__(self, problem: Problem) -> None:
        import lightning

        stack, options = network(problem), optimizer_options(problem)

        class Module(lightning.LightningModule):  # type: ignore[misc]  # may not be installed
            def __init__(self) -> None:
                super().__init__()
                self.network = stack

            def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
                inputs, targets = batch
                return F.cross_entropy(self.network(inputs), targets)

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.AdamW(self.parameters(), **options)

        self._lightning, self._module = lightning, Module()
        inputs, targets = (
            torch.tensor(each) for each in (problem.train.inputs, problem.train.targets)
        )
        self._loader = DataLoader(
            TensorDataset(inputs, targets),
            batch_size=problem.experiment.data.batch_size,
            shuffle=True,
            drop_last=True,
        )

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Take training steps."""
        trainer = self._lightning.Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self._module, self._loader)
        return NO_LOSSES

    def synchronize(self) -> None:
        """Nothing to wait for on a CPU."""

    def compilations(self) -> int:
        """Nothing is compiled."""
        return 0


@final
class SkorchLoop:
    """A NeuralNetClassifier and its `partial_fit`."""

    def __init__(self, problem: Problem) -> None:
        import skorch

        options = {f"optimizer__{k}": v for k, v in optimizer_options(problem).items() if k != "lr"}
        self._net = skorch.NeuralNetClassifier(
            network(problem),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.AdamW,
            lr=optimizer_options(problem)["lr"],
            batch_size=problem.experiment.data.batch_size,
            max_epochs=1,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
            **options,
        ).initialize()
        self._parts = Parts(problem)

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Take training steps."""
        for inputs, targets in self._parts.of(steps):
            self._net.partial_fit(inputs, targets, epochs=1)
        return NO_LOSSES

    def synchronize(self) -> None:
        """Nothing to wait for on a CPU."""

    def compilations(self) -> int:
        """Nothing is compiled."""
        return 0


def build_lightning(problem: Problem) -> LightningLoop:
    """Lightning."""
    return LightningLoop(problem)


def build_skorch(problem: Problem) -> SkorchLoop:
    """skorch."""
    return SkorchLoop(problem)
