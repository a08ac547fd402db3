"""Sequential and Module, softmax applied twice, and the two modes of dropout."""

from __future__ import annotations

from typing import Any, Final

import jax.numpy as jnp
import torch
from flax import nnx
from torch import Tensor, nn

from comparisons.claims.claim import Findings
from comparisons.claims.paired import in_turns
from twofold import Experiment, prepare
from twofold.problem.state import Array

EPOCHS: Final = (2, 5, 10, 20)


class Mlp(nn.Module):
    """The lesson's network as a class."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(20, 128)
        self.second = nn.Linear(128, 128)
        self.last = nn.Linear(128, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.first(inputs))
        hidden = torch.relu(self.second(hidden))
        logits: Tensor = self.last(hidden)
        return logits


def stack() -> nn.Sequential:
    """The same network as a stack."""
    return nn.Sequential(
        nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 3)
    )


def sequential(quick: bool) -> Findings:
    """The same parameters and batches in both: parameters after some steps, and time per step."""
    trainers = {"Module": Trainer(Mlp()), "Sequential": Trainer(stack())}
    values = trainers["Module"].model.parameters()
    with torch.no_grad():
        for ours, theirs in zip(trainers["Sequential"].model.parameters(), values, strict=True):
            ours.copy_(theirs)
    for _ in range(20):
        for trainer in trainers.values():
            trainer.step()
    differences = [
        (a - b).detach().abs().max()
        for a, b in zip(*(each.model.parameters() for each in trainers.values()), strict=True)
    ]
    difference = float(torch.stack(differences).max())  # not a number where one of them is not
    sides = {name: trainer.step for name, trainer in trainers.items()}
    return {
        "conditions": "20-128-128-3, ReLU, AdamW, eager PyTorch, one batch of 64; parameters "
        "compared after 20 steps",
        "largest_difference": difference,
        "timed": in_turns(sides, seconds=0.5 if quick else 6.0),
    }


class Trainer:
    """One model, one batch, one step at a time."""

    def __init__(self, model: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        self.model = model
        self.inputs = torch.randn(64, 20, generator=generator)
        self.labels = torch.randint(0, 3, (64,), generator=generator)
        self.optimizer = torch.optim.AdamW(model.parameters())

    def step(self) -> None:
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self.inputs), self.labels).backward()
        self.optimizer.step()


def softmax_twice(quick: bool) -> Findings:
    """Test accuracy on the digits, the model ending in logits or in a softmax of its own."""
    seeds, epochs = range(3 if quick else 8), EPOCHS[:2] if quick else EPOCHS
    return {
        "conditions": "digits, 64-64-10, Adam at 1e-3, batches of 64, cross-entropy (which applies "
        f"softmax itself), {len(seeds)} seeds",
        "epochs": list(epochs),
        "accuracy": {
            name: [digits_accuracies(seed, epochs, twice) for seed in seeds]
            for name, twice in (("logits", False), ("softmax first", True))
        },
        "chance": chance(),
    }


def digits_accuracies(seed: int, epochs: tuple[int, ...], twice: bool) -> list[float]:
    """Test accuracy after each number of epochs in `epochs`."""
    problem = prepare(Experiment.load("digits"))
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    model = nn.Sequential(*layers, *([nn.Softmax(dim=1)] if twice else []))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    inputs, labels = tensors(problem.train.inputs, problem.train.targets)
    test_inputs, test_labels = tensors(problem.test.inputs, problem.test.targets)
    found = []
    for epoch in range(1, max(epochs) + 1):
        for rows in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
        if epoch in epochs:
            with torch.no_grad():
                found.append(float((model(test_inputs).argmax(1) == test_labels).float().mean()))
    return found


def tensors(inputs: Array, targets: Array) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(inputs.copy()), torch.from_numpy(targets.copy())


def chance() -> float:
    """Accuracy of always naming the most frequent class of the test rows."""
    counts = torch.bincount(torch.from_numpy(prepare(Experiment.load("digits")).test.targets))
    return float(counts.max() / counts.sum())


def dropout_modes(quick: bool) -> Findings:
    """Two calls in each mode, in both frameworks, and the network without its dropout."""
    del quick  # this takes a second either way
    return {
        "conditions": "a layer of 1,000 ones through dropout 0.2, as built, in training and in "
        "evaluation",
        "torch": torch_dropout(),
        "flax": flax_dropout(),
    }


def torch_dropout() -> dict[str, Any]:
    torch.manual_seed(0)
    layer, ones = nn.Dropout(0.2), torch.ones(1000)
    as_built = layer(ones)
    training = layer.train()(ones)
    evaluation = layer.eval()(ones)
    return {
        "as built it drops": bool((as_built == 0).any()),
        "training drops": bool((training == 0).any()),
        "evaluation is the identity": bool(torch.equal(evaluation, ones)),
        "dropped share in training": float((training == 0).float().mean()),
    }


def flax_dropout() -> dict[str, Any]:
    layer, ones = nnx.Dropout(0.2, rngs=nnx.Rngs(0)), jnp.ones(1000)
    as_built = layer(ones)
    layer.train()
    training = layer(ones)
    layer.eval()
    evaluation = layer(ones)
    return {
        "as built it drops": bool((as_built == 0).any()),
        "training drops": bool((training == 0).any()),
        "evaluation is the identity": bool(jnp.array_equal(evaluation, ones)),
        "dropped share in training": float((training == 0).mean()),
    }
