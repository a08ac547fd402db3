"""One call of a PyTorch function: what it runs with, and how it runs with other settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, final

import torch
import torch.nn.functional as F

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
_NAMES: Final = {"leaky_relu": "leaky relu"}


@final
class Asked:
    """A call with its arguments by name."""

    def __init__(
        self,
        name: str,
        func: Any,
        parameters: tuple[str, ...],
        args: tuple[Any, ...],
        named: dict[str, Any],
        norms: Mapping[int, tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        self.name = name
        self.func = func
        self.args = args
        self.named = named
        self.norms = norms
        self._parameters = parameters

    def __getitem__(self, parameter: str) -> Any:
        return self.get(parameter)

    def get(self, parameter: str, default: Any = None) -> Any:
        """An argument by its name."""
        if parameter in self.named:
            return self.named[parameter]
        place = self._parameters.index(parameter) if parameter in self._parameters else -1
        return self.args[place] if 0 <= place < len(self.args) else default

    def run(self, **new: Any) -> Any:
        """The call with some arguments exchanged."""
        args, named = list(self.args), dict(self.named)
        for parameter, value in new.items():
            place = self._parameters.index(parameter) if parameter in self._parameters else -1
            if parameter not in named and 0 <= place < len(args):
                args[place] = value
            else:
                named[parameter] = value
        return self.func(*args, **named)

    def kind(self, kind: str) -> str:
        """The kind of site; an operation with a number is a constant."""
        return "constant" if kind == "sum" and self._number() is not None else kind

    def _number(self) -> float | None:
        """The plain number that a binary operation takes."""
        numbers = [
            v
            for v in (*self.args, *self.named.values())
            if isinstance(v, int | float) and not isinstance(v, bool)
        ]
        return float(numbers[0]) if len(numbers) == 1 else None

    def settings(self) -> Mapping[str, object] | None:
        """What the call runs with, by neutral names; None where nothing can be changed."""
        reader = READERS.get(self.name)
        read = {} if reader is None else reader(self)
        return None if read is None else {"name": _NAMES.get(self.name, self.name), **read}


def _norm(asked: Asked) -> dict[str, object]:
    default = torch.finfo(asked["input"].dtype).eps if asked.name == "rms_norm" else 1e-5
    eps = asked.get("eps")
    found: dict[str, object] = {"eps": default if eps is None else eps}
    if asked.name == "group_norm":
        found["groups"] = asked["groups"]
        found["channels"] = asked["input"].shape[1]
    if asked.name == "batch_norm":
        found["momentum"] = asked.get("momentum", 0.1)
        found["statistics"] = "of the batch" if asked.get("training") else "running"
        found["running"] = asked.get("mean") is not None
    if asked.name == "layer_norm":
        found["axes"] = len(asked["shape"])
        found["rank"] = asked["input"].ndim
    return found


def _softmax(asked: Asked) -> dict[str, object] | None:
    axis, rank = asked.get("dim"), asked["input"].ndim
    return None if axis is None else {"axis": axis % rank, "rank": rank}


def _attention(asked: Asked) -> dict[str, object]:
    given = asked.get("scale")
    size = asked["query"].shape[-1]
    return {
        "scale": 1 / math.sqrt(size) if given is None else given,
        "size": size,
        "causal": bool(asked.get("is_causal", False)),
        "masked": asked.get("attn_mask") is not None,
    }


def _linear(asked: Asked) -> dict[str, object]:
    weight = asked["weight"]
    return {"square": weight.ndim == 2 and len(set(weight.shape)) == 1, "bias": _bias(asked)}


def _bias(asked: Asked) -> bool:
    return asked.get("bias") is not None


def _convolution(asked: Asked) -> dict[str, object]:
    rank = asked["weight"].ndim - 2
    padding = asked.get("padding", 0)
    return {
        "bias": _bias(asked),
        "kernel": tuple(asked["weight"].shape[2:]),
        "padding": padding if isinstance(padding, str) else _each(padding, rank),
        "stride": _each(asked.get("stride", 1), rank),
        "dilation": _each(asked.get("dilation", 1), rank),
    }


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value) * (rank // len(value))


def _dropout(asked: Asked) -> dict[str, object]:
    return {"rate": asked.get("p", 0.5), "on": bool(asked.get("training", True))}


def _pool(asked: Asked) -> dict[str, object]:
    return {
        "padding": _each(asked.get("padding", 0), 2),
        "counts padding": bool(asked.get("count_include_pad", True)),
        "ceil": bool(asked.get("ceil_mode", False)),
    }


def _resize(asked: Asked) -> dict[str, object]:
    return {
        "mode": asked.get("mode", "nearest"),
        "corners": bool(asked.get("align_corners", False)),
        "antialias": bool(asked.get("antialias", False)),
    }


def _loss(asked: Asked) -> dict[str, object]:
    found: dict[str, object] = {"reduction": asked.get("reduction", "mean")}
    target = asked["target"]
    if asked.name in ("cross_entropy", "nll_loss") and not target.is_floating_point():
        ignored = asked.get("ignore_index", -100)
        found |= {"ignored": int((target == ignored).sum()), "count": target.numel()}
        found["ignored number"] = float(ignored)
    if asked.name == "cross_entropy":
        found["smoothing"] = asked.get("label_smoothing", 0.0)
    return found


def _variance(asked: Asked) -> dict[str, object] | None:
    named = asked.named
    correction = named.get("correction", 1 if named.get("unbiased", True) else 0)
    return {"correction": correction} if len(asked.args) < 3 else None


def _triangle(asked: Asked) -> dict[str, object]:
    return {"diagonal": asked.get("diagonal", 0)}


def _positions(asked: Asked) -> dict[str, object] | None:
    return {"start": asked.args[0] if len(asked.args) > 1 else 0} if asked.args else None


def _flatten(asked: Asked) -> dict[str, object] | None:
    given = asked["input"]
    return {"rank": given.ndim} if torch.is_tensor(given) and given.ndim in (3, 4, 5) else None


def _sum(asked: Asked) -> dict[str, object] | None:
    number = asked._number()
    if number is not None:
        return {"number": number}
    first, second = asked["input"], asked.get("other")
    if not torch.is_tensor(first) or not torch.is_tensor(second) or not first.ndim:
        return None
    found: dict[str, object] = {"width": first.shape[-1]}
    if first.shape == second.shape:
        found["normed"] = [id(value) in asked.norms for value in (first, second)]
    return found


def _select(asked: Asked) -> dict[str, object] | None:
    """One index along one axis, with all of the others; or what is left out at one end."""
    index = asked.get("index")
    entries = index if isinstance(index, tuple) else (index,)
    cut = _cut(entries)
    if cut:
        return {"cut": cut}
    axes = [axis for axis, entry in enumerate(entries) if type(entry) is int]
    rest = [entry for entry in entries if type(entry) is not int]
    if len(axes) != 1 or any(entry != slice(None) for entry in rest):
        return None
    return {"axis": axes[0], "takes": {0: "first", -1: "last"}.get(entries[axes[0]], "other")}


def _cut(entries: tuple[Any, ...]) -> int:
    """How many entries a slice leaves out at one end of one axis; 0 where it is another index."""
    plain = [e for e in entries if e is not Ellipsis and e != slice(None)]
    if len(plain) != 1 or not isinstance(plain[0], slice) or plain[0].step is not None:
        return 0
    start, stop = plain[0].start, plain[0].stop
    if isinstance(start, int) and start > 0 and stop is None:
        return start
    return -stop if isinstance(stop, int) and stop < 0 and start is None else 0


def _changed_cut(asked: Asked, new: dict[str, Any]) -> Any:
    """The slice with another number of entries left out, at the same end."""
    index, count = asked["index"], new["leave out"]
    entries = index if isinstance(index, tuple) else (index,)

    def exchanged(entry: Any) -> Any:
        if not isinstance(entry, slice) or entry == slice(None):
            return entry
        return slice(count, None) if entry.stop is None else slice(None, -count or None)

    return asked.run(index=tuple(map(exchanged, entries)))


def _split(asked: Asked) -> dict[str, object] | None:
    """Tensors packed along one axis; only parts of one shape can change places."""
    parts = asked.run()
    alike = 1 < len(parts) < 5 and len({part.shape for part in parts}) == 1
    return {"count": len(parts)} if alike else None


def _pad(asked: Asked) -> dict[str, object] | None:
    pad, mode = asked["pad"], asked.get("mode", "constant")
    if not isinstance(pad, tuple | list) or len(pad) % 2:
        return None
    return {"pad": tuple(pad), "mode": mode}


def _table(asked: Asked) -> dict[str, object] | None:
    """A short list of numbers that becomes a tensor."""
    made = asked.run()
    if made.ndim != 1 or not made.is_floating_point() or not 1 < made.numel() <= 64:
        return None
    return {"values": tuple(made.tolist())}


def _compared(asked: Asked) -> dict[str, object] | None:
    number = asked._number()
    found: dict[str, object] | None = None if number is None else {"number": number}
    if found is not None and asked.name in ("ne", "eq"):
        return {**found, "ignored number": number}
    return found


def _power(asked: Asked) -> dict[str, object] | None:
    number = asked.get("exponent")
    return {"exponent": float(number)} if isinstance(number, int | float) else None


def _headed(asked: Asked) -> dict[str, object] | None:
    """A reshape; `heads` says that one axis of three becomes two."""
    found = _flatten(asked)
    if found is None or found["rank"] != 3 or asked.name == "flatten":
        return found
    made = asked.run()
    return {**found, "heads": True} if made.ndim == 4 else found


def _changed_headed(asked: Asked, new: dict[str, Any]) -> Any:
    if not new.get("heads last"):
        return _changed_flatten(asked, new)
    batch, time, heads, size = asked.run().shape
    return asked["input"].reshape(batch, time, size, heads).transpose(2, 3)


def _reduced(asked: Asked) -> dict[str, object] | None:
    axis = asked.get("dim")
    if isinstance(axis, tuple | list) and len(axis) == 1:
        axis = axis[0]
    known = isinstance(axis, int) and not asked.named.get("keepdim")
    return {"axis": axis, "takes": asked.name} if known else {"takes": asked.name}


def _taken(asked: Asked, what: str) -> Any:
    settings = asked.settings() or {}
    x, axis = asked["input"], settings["axis"]
    if what in ("first", "last"):
        return x.select(axis, 0 if what == "first" else -1)
    return {"mean": x.mean, "sum": x.sum, "max": x.amax}[what](axis)


def _constant(asked: Asked) -> dict[str, object] | None:
    number = asked._number()
    return None if number is None else {"number": number}


READERS: Final[Mapping[str, Callable[[Asked], dict[str, object] | None]]] = {
    **dict.fromkeys(("layer_norm", "rms_norm", "group_norm", "batch_norm"), _norm),
    "gelu": lambda asked: {"flavour": asked.get("approximate", "none")},
    "leaky_relu": lambda asked: {"slope": asked.get("negative_slope", asked.get("slope", 0.01))},
    "softmax": _softmax,
    "log_softmax": _softmax,
    "scaled_dot_product_attention": _attention,
    "linear": _linear,
    **{f"conv{n}d": _convolution for n in (1, 2, 3)},
    "embedding": lambda asked: {"width": asked["weight"].shape[-1]},
    "dropout": _dropout,
    "avg_pool2d": _pool,
    "max_pool2d": _pool,
    "interpolate": _resize,
    **dict.fromkeys(
        (
            *("cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss"),
            *("huber_loss", "binary_cross_entropy_with_logits", "kl_div"),
        ),
        _loss,
    ),
    "var": _variance,
    "std": _variance,
    "tril": _triangle,
    "triu": _triangle,
    "arange": _positions,
    **dict.fromkeys(("flatten", "reshape", "view"), _headed),
    "add": _sum,
    **dict.fromkeys(("chunk", "split", "unbind"), _split),
    "pad": _pad,
    **dict.fromkeys(("new_tensor", "tensor", "as_tensor"), _table),
    **dict.fromkeys(("ne", "eq", "lt", "le", "gt", "ge"), _compared),
    "pow": _power,
    "softplus": lambda asked: {"beta": float(asked.get("beta", asked.get("slope", 1.0)))},
    "elu": lambda asked: {"alpha": float(asked.get("alpha", asked.get("slope", 1.0)))},
    **dict.fromkeys(
        ("transpose", "permute", "swapaxes", "movedim"),
        lambda asked: {"rank": asked["input"].ndim},
    ),
    "__getitem__": _select,
    **dict.fromkeys(("mean", "sum"), _reduced),
    **dict.fromkeys(("sub", "mul", "div"), _constant),
}


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
        return _changed_constant(asked, {"number": (asked._number() or 0.0) * factor})
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
        settings = _convolution(asked)
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
    number = asked._number()

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
    **{name: _changed_loss for name, reader in READERS.items() if reader is _loss},
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
