"""Correct ports drawn at random: architecture, sizes, settings of both sides, loss, optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from comparisons.evidence.ports.setup import Setup

Chooser = Callable[..., Any]
MEETINGS: Final = (
    *("torch->jax",) * 6,
    *("jax->torch",) * 3,
    "jax->jax",
)
"""Two modules of one framework run the same operations bit for bit: few of them are enough."""


def draw(seed: int) -> Setup:
    """The correct port of a seed; the same one every time."""
    numbers = np.random.default_rng([15, seed])

    def one(*options: Any) -> Any:
        return options[int(numbers.integers(len(options)))]

    name = one(*_DRAWN)
    meeting = one(*MEETINGS)
    common, port = _DRAWN[name](one)
    common = {**common, **_loss(one, name), **_optimizer(one)}
    if common.get("cell") == "library":
        # PyTorch's LSTM has two biases where NNX has one, so the norm that a clip goes by counts
        # one gradient twice: with a clip the two do not train alike, and are no correct port.
        common.pop("optimizer.clip", None)
    if meeting.endswith("torch"):
        port = {}
    return Setup(name, common=common, port=port, meeting=meeting, seed=seed)


def _gpt(one: Chooser) -> tuple[dict[str, Any], dict[str, Any]]:
    heads = one(1, 2, 3)
    common = {
        "vocabulary": one(5, 11, 17),
        "heads": heads,
        "width": heads * one(2, 4),
        "depth": one(1, 2, 3),
        "batch": one(1, 2, 4),
        "time": one(3, 5, 8),
        "tied": one(True, True, False),
        "*ln*.eps": one(1e-5, 1e-6, 1e-3),
        "*ln*.kind": one("layer", "layer", "rms"),
        "*.mlp.gelu": one("exact", "tanh", "quick", "relu", "silu", "elu"),
        "*.mlp.ratio": one(1, 2, 4),
        "*.attn.scale": one("head", "head", "width", "none"),
        "*.attn.mask": one("causal", "causal", "none", "window"),
        "blocks.*.norm": one("before", "before", "after", "parallel"),
        "blocks.*.dropout": one(0.0, 0.0, 0.0, 0.3),
        "cap": one(None, None, 30.0),
        "scaled_tokens": one(False, True),
    }
    if common["*ln*.kind"] == "layer":
        common["*ln*.bias"] = one(True, True, False)
    return common, {"*.attn.separate": one(False, True)}


def _resnet(one: Chooser) -> tuple[dict[str, Any], dict[str, Any]]:
    width = one(2, 4)
    return {
        "width": width,
        "size": one(8, 16),  # others leave the last layer another number of features
        "batch": one(2, 3, 5),
        "classes": one(2, 3),
        "pool": one("max", "average", "average, without padding"),
        "last_pool": one("average", "max"),
        "*.act": one("relu", "relu", "silu", "gelu", "elu"),
        "*.slope": one(0.0, 0.1),
        "block?.order": one("add, act", "act, add"),
        "block2.conv1.padding": one(1, "SAME"),
        "block1.conv2.dilation": one(1, 2),
        "block1.groups": one(1, 2),
        "block?.conv?.bias": one(False, True),
        "*bn*.eps": one(1e-5, 1e-3),
        "*bn*.momentum": one(0.1, 0.01, 0.3),
        "flatten": one("chw", "hwc"),
    }, {}


def _lstm(one: Chooser) -> tuple[dict[str, Any], dict[str, Any]]:
    written = one(True, False)
    common = {
        "cell": "written" if written else "library",
        "words": one(5, 9, 20),
        "inputs": one(3, 4, 6),
        "hidden": one(2, 5, 7),
        "batch": one(2, 4, 6),
        "time": one(3, 5, 7),
        "last": one("last", "mean", "max", "last word"),
        "norm.eps": one(1e-5, 1e-6),
        "dropout": one(0.0, 0.0, 0.4),
    }
    if written:
        common |= {
            "rnn.order": one("ifgo", "igfo", "ifog"),
            "rnn.forget_bias": one(0.0, 1.0),
            "rnn.gate": one("sigmoid", "hard"),
            "rnn.backwards": one(False, True),
        }
        return common, {}
    return common, {"flax_cell": one("optimized", "plain")}


def _vit(one: Chooser) -> tuple[dict[str, Any], dict[str, Any]]:
    heads = one(1, 2)
    return {
        "heads": heads,
        "width": heads * one(3, 4),
        "depth": one(1, 2),
        "patch": one(2, 4),
        "batch": one(1, 2, 3),
        "classes": one(2, 3, 5),
        "patches": one("by rows", "by columns"),
        "token": one("first", "last"),
        "pooled": one("token", "mean"),
        "norm.eps": one(1e-6, 1e-5),
        "block*.norm?.eps": one(1e-6, 1e-5),
        "block*.mlp.gelu": one("exact", "tanh", "silu"),
        "block*.layer_scale": one(1.0, 0.1),
        "block*.order": one("before", "before", "after"),
        "block*.attn.causal": one(False, False, True),
    }, {}


def _tabular(one: Chooser) -> tuple[dict[str, Any], dict[str, Any]]:
    function = one(True, False)
    kind = "layer" if function else one("layer", "batch")
    common = {
        "numbers": one(2, 4, 7),
        "embedded": one(1, 3),
        "width": one(4, 6, 9),
        "batch": one(3, 6, 10),
        "norm.kind": kind,
        "norm.eps": one(1e-5, 1e-3),
        "act": one("leaky", "elu", "softplus", "silu", "tanh", "relu"),
        "joined": one("numbers first", "categories first"),
        "skip": one(True, False),
        "clamp": one(None, None, 3.0),
        "dropout": 0.0 if function else one(0.0, 0.0, 0.3),
    }
    return common, {"form": "function" if function else "module"}


_DRAWN: Final[dict[str, Any]] = {
    "gpt": _gpt,
    "resnet": _resnet,
    "lstm": _lstm,
    "vit": _vit,
    "tabular": _tabular,
}


def _loss(one: Chooser, name: str) -> dict[str, Any]:
    if name == "tabular":
        kind = one("cross entropy", "squared", "huber", "binary")
        if kind != "cross entropy":
            return {"loss.kind": kind, "outputs": 1}
    loss = {
        "loss.reduction": one("mean", "mean", "sum"),
        "loss.smoothing": one(0.0, 0.1),
        "loss.weights": one(None, (1.0, 2.0, 0.5)),
        "loss.z_loss": one(0.0, 0.01),
    }
    if name == "gpt":
        loss["loss.shift"] = one(0, 1)
    return loss


def _optimizer(one: Chooser) -> dict[str, Any]:
    kind = one(None, None, "sgd", "adam", "adamw", "rmsprop", "adagrad")
    if kind is None:
        return {}
    made = {"kind": kind, "rate": one(1e-1, 1e-2, 1e-3)}
    made["decay"] = one(0.0, 0.1) if kind in ("adamw", "sgd") else 0.0
    if kind == "sgd":
        made |= {"momentum": one(0.0, 0.9), "nesterov": False}
        if made["momentum"]:
            made["nesterov"] = one(False, True)
    elif kind in ("adam", "adamw"):
        made |= {"beta2": one(0.999, 0.95), "eps": one(1e-8, 1e-6)}
    elif kind == "rmsprop":
        made |= {"alpha": one(0.99, 0.9), "eps": 1e-8}
    else:
        made |= {"start": one(0.1, 1.0)}
    limit = one(None, None, 0.1)
    if limit is not None:
        made["clip"] = limit
    schedule = one(None, None, "cosine", "linear", "warm-up", "staircase", "inverse root")
    common = {f"optimizer.{key}": value for key, value in made.items()}
    return common | ({} if schedule is None else {"schedule.kind": schedule})
