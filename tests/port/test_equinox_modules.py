"""Modules of Equinox against modules of PyTorch, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn

from twofold import port
from twofold.errors import BadInput
from twofold.port.side import Call

KEY = jax.random.key(0)


class Network(eqx.Module):
    first: eqx.nn.Linear
    norm: eqx.nn.LayerNorm
    last: eqx.nn.Linear
    approximate: bool = eqx.field(static=True)

    def __init__(self, *, eps: float = 1e-5, approximate: bool = False) -> None:
        keys = jax.random.split(KEY)
        self.first = eqx.nn.Linear(6, 8, key=keys[0])
        self.norm = eqx.nn.LayerNorm(8, eps=eps)
        self.last = eqx.nn.Linear(8, 3, key=keys[1])
        self.approximate = approximate

    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = jax.nn.gelu(self.norm(self.first(x)), approximate=self.approximate)
        return self.last(hidden)


def original() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))


@pytest.fixture(scope="module")
def rows() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)


def test_a_module_for_one_row_is_the_same_function(rows: Any) -> None:
    report = port.certify(original(), Network(), (rows,))
    assert report.passed
    verdicts = {rung.rung: rung.verdict for rung in report.rungs}
    assert verdicts["forward, evaluation"] == verdicts["gradients"] == "same"


@pytest.mark.parametrize("wrong", [{"eps": 1e-3}, {"approximate": True}])
def test_what_differs_is_found(wrong: dict[str, Any], rows: Any) -> None:
    report = port.certify(original(), Network(**wrong), (rows,))
    assert not report.passed
    assert report.first_difference is not None


def test_training_steps_with_a_loss(rows: Any) -> None:
    labels = np.array([0, 2, 1, 1, 0])

    def torch_loss(logits: Any, batch: Any) -> Any:
        return nn.functional.cross_entropy(logits, batch[1])

    def jax_loss(logits: Any, batch: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()

    def pair(learning_rate: float) -> port.Pair:
        model = original()
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        return port.Pair(
            port.Torch(model, loss=torch_loss, optimizer=sgd),
            port.Equinox(Network(), loss=jax_loss, optimizer=optax.sgd(learning_rate)),
            batches=[(rows, labels), (rows[::-1].copy(), labels)],
        )

    report = pair(0.1).certify()
    assert report.passed
    assert {"loss", "gradients"} <= {rung.rung for rung in report.rungs}
    assert not pair(0.2).certify().passed


def test_names_are_paths_and_other_things_are_refused() -> None:
    side = port.Equinox(Network())
    assert [tensor.name for tensor in side.tensors()][:2] == ["first.weight", "first.bias"]
    assert side.tensors()[0].owner == "equinox.nn.Linear"
    assert [module.name for module in side.modules()] == ["", "first", "norm", "last"]
    assert [tensor.name for tensor in side.part("norm").tensors()] == ["weight", "bias"]
    with pytest.raises(BadInput, match=r"allowed is an eqx\.Module"):
        port.Equinox(jnp.ones(3))
    with pytest.raises(BadInput, match="the module has first, norm, last"):
        side.part("middle")


def test_two_modules_of_equinox(rows: Any) -> None:
    """A refactoring that changes nothing, and one that does."""
    assert port.certify(Network(), Network(), (rows,)).passed


class Block(eqx.Module):
    """A block of rows of tokens: every layer is mapped over the tokens, as Equinox wants it."""

    norm: eqx.nn.LayerNorm
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, eps: float) -> None:
        keys = jax.random.split(KEY)
        self.norm = eqx.nn.LayerNorm(6, eps=eps)
        self.up = eqx.nn.Linear(6, 8, key=keys[0])
        self.down = eqx.nn.Linear(8, 6, key=keys[1])

    def __call__(self, x: jax.Array) -> jax.Array:
        def of_one_token(token: jax.Array) -> jax.Array:
            return self.down(jax.nn.relu(self.up(token)))

        return x + jax.vmap(of_one_token)(jax.vmap(self.norm)(x))


class Tokens(eqx.Module):
    blocks: list[Block]
    last: eqx.nn.Linear

    def __init__(self, *eps: float) -> None:
        self.blocks = [Block(each) for each in eps]
        self.last = eqx.nn.Linear(6, 3, key=KEY)

    def __call__(self, x: jax.Array) -> jax.Array:
        for block in self.blocks:
            x = block(x)
        return jax.vmap(self.last)(x)


class TorchBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class TorchTokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(TorchBlock() for _ in range(3))
        self.last = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.last(x)


TOKENS = np.random.default_rng(3).standard_normal((2, 5, 6)).astype(np.float32)


def test_a_module_inside_two_maps_is_named_with_its_cause() -> None:
    wrong = Tokens(1e-5, 1e-3, 1e-5)
    report = port.certify(TorchTokens(), wrong, (TOKENS,), gradients=False, precisions=())
    first = report.first_difference
    assert first is not None
    assert first.module == first.port_module == "blocks.1.norm"
    assert first.cause == "the epsilon of the layer norm: 1e-05 in the original, 0.001 in the port"
    assert first.also == ()
    assert "test_equinox_modules.py" in first.port_line


def test_outputs_inside_maps_are_those_of_the_rows() -> None:
    """Each kept output and input has the mapped axes in front, and is what NumPy makes of it."""
    model = Tokens(1e-5)
    side = port.Equinox(model)
    call = Call({}, (TOKENS,), want=frozenset({"outputs", "modules"}))
    answer = side.answer(call)
    assert list(answer.modules) == [
        *("blocks.0.norm", "blocks.0.up", "blocks.0.down", "blocks.0", "last")
    ]
    normed = answer.modules["blocks.0.norm"]
    x = TOKENS.astype(np.float64)
    centred = x - x.mean(-1, keepdims=True)
    expected = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5)
    assert np.allclose(normed, expected, rtol=1e-12)
    assert np.array_equal(answer.module_inputs["blocks.0.up"], normed)
    given = np.random.default_rng(4).standard_normal((2, 5, 8))
    forced = side.answer(replace(call, forced={"blocks.0.up": given}))
    weight, bias = (
        np.asarray(v, np.float64) for v in (model.blocks[0].down.weight, model.blocks[0].down.bias)
    )
    assert np.allclose(forced.modules["blocks.0.down"], np.maximum(given, 0) @ weight.T + bias)
    assert jax.vmap.__module__.startswith("jax")
