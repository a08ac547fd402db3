"""One call of a PyTorch function once more, with other settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F

from twofold_torch.port.asked import READERS, Asked, convolution, loss

ACTIVATIONS: Final[Mapping[str, Callable[[torch.Tensor], torch.Tensor]]] = {
    "none": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
    "tanh gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky relu": F.leaky_relu,
    "elu": F.elu,
    "softplus": F.softplus,
    "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


def _changed_cut(asked: Asked, new: dict[str, Any]) -> Any:
    """The slice with another number of entries left out, at the same end."""
    index, count = asked["index"], new["leave out"]
    entries = index if isinstance(index, tuple) else (index,)

    def exchanged(entry: Any) -> Any:
        if not isinstance(entry, slice) or entry == slice(None):
            return entry
        return slice(count, None) if entry.stop is None else slice(None, -count or None)

    return asked.run(index=tuple(map(exchanged, entries)))


def _changed_headed(asked: Asked, new: dict[str, Any]) -> Any:
    if not new.get("heads last"):
        return _changed_flatten(asked, new)
    batch, time, heads, size = asked.run().shape
    return asked["input"].reshape(batch, time, size, heads).transpose(2, 3)


def _taken(asked: Asked, what: str) -> Any:
    settings = asked.settings() or {}
    x, axis = asked["input"], settings["axis"]
    if what in ("first", "last"):
        return x.select(axis, 0 if what == "first" else -1)
    return {"mean": x.mean, "sum": x.sum, "max": x.amax}[what](axis)


def changed(asked: Asked, new: Mapping[str, object]) -> Any:
    """The call with other settings. Raises what PyTorch raises where they do not fit."""
    if new.get("skip"):
        return asked["input"]
    if "factor" in new:
        return asked.run() * new["factor"]
    if new.get("detach"):
        return asked.run().detach()
    if "before" in new:
        return asked.run(input=ACTIVATIONS[str(new["before"])](asked["input"]))
    if "leave out" in new:
        return _changed_cut(asked, dict(new))
    if "scale numbers" in new:
        factor = float(str(new["scale numbers"]))
        return _changed_constant(asked, {"number": (asked.number() or 0.0) * factor})
    if "take" in new:
        return _taken(asked, str(new["take"]))
    if "activation" in new:
        return ACTIVATIONS[str(new["activation"])](asked["input"])
    return CHANGERS[asked.name](asked, dict(new))


def _changed_norm(asked: Asked, new: dict[str, Any]) -> Any:
    if not new.keys() & {"variance", "place", "mean", "axis"}:
        own = {"groups": "groups", "eps": "eps", "momentum": "momentum"}
        given = {own[name]: value for name, value in new.items() if name in own}
        if "statistics" in new:
            given["training"] = new["statistics"] == "of the batch"
        return _group_norm(asked, given) if "groups" in given else asked.run(**given)
    x, eps = asked["input"], asked.get("eps") or 1e-5
    axes: Any = new.get("axis", tuple(range(-len(asked["shape"]), 0)))
    mean = 0.0 if new.get("mean") == "kept" else x.mean(axes, keepdim=True)
    squares = (x - mean) ** 2
    variance = squares.mean(axes, keepdim=True)
    if new.get("variance") == "unbiased":
        count = squares.numel() / variance.numel()
        variance = variance * count / (count - 1)
    root = torch.sqrt(variance) + eps if new.get("place") else torch.sqrt(variance + eps)
    y = (x - mean) / root
    weight, bias = asked.get("weight"), asked.get("bias")
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _group_norm(asked: Asked, given: dict[str, Any]) -> Any:
    return F.group_norm(
        asked["input"], given["groups"], asked["weight"], asked["bias"], asked.get("eps", 1e-5)
    )


def _changed_linear(asked: Asked, new: dict[str, Any]) -> Any:
    if new.get("transposed"):
        return asked.run(weight=asked["weight"].T)
    return asked.run(bias=None)


def _changed_convolution(asked: Asked, new: dict[str, Any]) -> Any:
    if new.get("flipped"):
        weight = asked["weight"]
        return asked.run(weight=weight.flip(tuple(range(2, weight.ndim))))
    if new.get("padding") == "SAME":
        x = asked["input"]
        settings = convolution(asked)
        amounts: list[int] = []
        for size, kernel, stride, dilation in zip(
            x.shape[2:],
            settings["kernel"],  # type: ignore[call-overload]
            settings["stride"],
            settings["dilation"],
            strict=True,
        ):
            reach = (kernel - 1) * dilation + 1
            total = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
            amounts = [total // 2, total - total // 2, *amounts]
        return asked.run(input=F.pad(x, amounts), padding=0)
    return asked.run(**new)


def _changed_dropout(asked: Asked, new: dict[str, Any]) -> Any:
    if "rate" in new:
        return asked.run(p=new["rate"])
    if not new["on"]:
        return asked["input"]
    return asked["input"] / (1 - asked.get("p", 0.5))  # the judge's masks keep every unit


def _changed_pool(asked: Asked, new: dict[str, Any]) -> Any:
    own = {"counts padding": "count_include_pad", "ceil": "ceil_mode", "padding": "padding"}
    if "pool" in new:
        pool: Any = F.max_pool2d if new["pool"] == "max" else F.avg_pool2d
        return pool(
            asked["input"], asked["kernel_size"], asked.get("stride"), asked.get("padding", 0)
        )
    return asked.run(**{own[name]: value for name, value in new.items()})


def _changed_resize(asked: Asked, new: dict[str, Any]) -> Any:
    own = {"corners": "align_corners", "antialias": "antialias", "mode": "mode"}
    return asked.run(**{own[name]: value for name, value in new.items()})


def _changed_loss(asked: Asked, new: dict[str, Any]) -> Any:
    if new.get("softmax twice"):
        return asked.run(input=torch.softmax(asked["input"], 1))
    if new.get("hinge"):
        each = torch.relu(1 - asked["input"] * asked["target"])
        return each.sum() if asked.get("reduction", "mean") == "sum" else each.mean()
    if "flavour" in new:
        return getattr(F, new["flavour"])(
            asked["input"], asked["target"], reduction=asked.get("reduction", "mean")
        )
    if new.get("counts ignored"):
        total = asked.run(reduction="sum")
        return total / asked["target"].numel()
    if "ignored" in new:
        return asked.run(ignore_index=new["ignored"])
    if new.get("ignored zero"):
        return asked.run(ignore_index=0)
    own = {"reduction": "reduction", "smoothing": "label_smoothing"}
    return asked.run(**{own[name]: value for name, value in new.items()})


def _changed_positions(asked: Asked, new: dict[str, Any]) -> Any:
    return asked.run() + new["shift"]


def _changed_flatten(asked: Asked, _new: dict[str, Any]) -> Any:
    x = asked["input"]
    return asked.func(x.movedim(1, -1).contiguous(), *asked.args[1:], **asked.named)


def _changed_sum(asked: Asked, new: dict[str, Any]) -> Any:
    if "number" in new:
        return _changed_constant(asked, new)
    first, second = asked["input"], asked.get("other")
    if "keep" in new:
        return (first, second)[new["keep"]]
    values = [first, second]
    if "by" in new:
        values[new["part"]] = values[new["part"]] * new["by"]
        return values[0] + values[1]
    place = new["normed"]
    values[place] = asked.norms[id(values[place])][1]
    return values[0] + values[1]


def _changed_constant(asked: Asked, new: dict[str, Any]) -> Any:
    number = asked.number()

    def exchanged(value: Any) -> Any:
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return new["number"] if plain and float(value) == number else value

    return asked.func(
        *map(exchanged, asked.args), **{k: exchanged(v) for k, v in asked.named.items()}
    )


def _changed_attention(asked: Asked, new: dict[str, Any]) -> Any:
    if new.get("unmasked"):
        return asked.run(attn_mask=None, is_causal=False)
    if "shift" in new:
        q, k = asked["query"].shape[-2], asked["key"].shape[-2]
        mask = torch.ones(q, k, dtype=torch.bool).tril(new["shift"])
        return asked.run(attn_mask=mask, is_causal=False)
    if new.get("inverted"):
        mask = asked["attn_mask"]
        return asked.run(attn_mask=~mask if mask.dtype is torch.bool else (mask == 0))
    return asked.run(**{"is_causal" if k == "causal" else k: v for k, v in new.items()})


CHANGERS: Final[Mapping[str, Callable[[Asked, dict[str, Any]], Any]]] = {
    **dict.fromkeys(("layer_norm", "rms_norm", "group_norm", "batch_norm"), _changed_norm),
    "embedding": lambda asked, new: asked.run(padding_idx=new["padding row"]),
    "hardsigmoid": lambda asked, _: F.relu6(asked["input"] + 3) / 6,
    "gelu": lambda asked, new: asked.run(approximate=new["flavour"]),
    "leaky_relu": lambda asked, new: F.leaky_relu(asked["input"], new["slope"]),
    "softmax": lambda asked, new: asked.run(dim=new["axis"]),
    "log_softmax": lambda asked, new: asked.run(dim=new["axis"]),
    "scaled_dot_product_attention": _changed_attention,
    "linear": _changed_linear,
    **{f"conv{n}d": _changed_convolution for n in (1, 2, 3)},
    "dropout": _changed_dropout,
    "avg_pool2d": _changed_pool,
    "max_pool2d": _changed_pool,
    "interpolate": _changed_resize,
    **{name: _changed_loss for name, reader in READERS.items() if reader is loss},
    "var": lambda asked, new: _var(asked, new["correction"]),
    "std": lambda asked, new: _var(asked, new["correction"]),
    "tril": lambda asked, new: _changed_triangle(asked, new, torch.triu),
    "triu": lambda asked, new: _changed_triangle(asked, new, torch.tril),
    "arange": _changed_positions,
    **dict.fromkeys(("flatten", "reshape", "view"), _changed_headed),
    **dict.fromkeys(
        ("chunk", "split", "unbind"), lambda asked, new: [asked.run()[i] for i in new["parts"]]
    ),
    "pad": lambda asked, new: asked.run(**new),
    **dict.fromkeys(
        ("new_tensor", "tensor", "as_tensor"),
        lambda asked, new: torch.as_tensor(new["values"], dtype=asked.run().dtype),
    ),
    **{
        name: lambda asked, new: _changed_constant(asked, {"number": new["ignored"]})
        for name in ("ne", "eq")
    },
    "pow": lambda asked, _: asked["input"].abs(),
    "softplus": lambda asked, new: F.softplus(asked["input"], beta=new["beta"]),
    "elu": lambda asked, new: F.elu(asked["input"], alpha=new["alpha"]),
    "add": _changed_sum,
    **dict.fromkeys(("sub", "mul", "div"), _changed_constant),
    "masked_fill": lambda asked, new: (
        asked.run(value=new["fill"]) if "fill" in new else asked.run(mask=~asked["mask"])
    ),
    "cat": lambda asked, _: asked.run(tensors=list(reversed(asked["tensors"]))),
    "mean": lambda asked, _: asked["input"].sum(*asked.args[1:], **asked.named),
    "sum": lambda asked, _: asked["input"].mean(*asked.args[1:], **asked.named),
}


def _changed_triangle(asked: Asked, new: dict[str, Any], other: Any) -> Any:
    if new.get("turned"):
        return other(asked["input"], -asked.get("diagonal", 0))
    return asked.run(diagonal=new["diagonal"])


def _var(asked: Asked, correction: int) -> Any:
    named = {k: v for k, v in asked.named.items() if k != "unbiased"}
    return asked.func(*asked.args, **{**named, "correction": correction})
