"""One call of a PyTorch function, and what it runs with, by neutral names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, final

import torch

ROUNDED: Final = "ATen's own, with 1 / 6 rounded to float32"
"""hardsigmoid_backward_kernel in aten/src/ATen/native/cpu/Activation.cpp (PyTorch 2.13)."""
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
        return "constant" if kind == "sum" and self.number() is not None else kind

    def number(self) -> float | None:
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


def convolution(asked: Asked) -> dict[str, object]:
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


def loss(asked: Asked) -> dict[str, object]:
    found: dict[str, object] = {"reduction": asked.get("reduction", "mean")}
    target = asked["target"]
    if asked.name in ("cross_entropy", "nll_loss") and not target.is_floating_point():
        ignored = asked.get("ignore_index", -100)
        found |= {"ignored": int((target == ignored).sum()), "count": target.numel()}
        found["ignored number"] = float(ignored)
    if asked.name == "cross_entropy":
        found["smoothing"] = asked.get("label_smoothing", 0.0)
    if asked.name == "smooth_l1_loss":
        found["beta"] = float(asked.get("beta", 1.0))
    if asked.name == "kl_div" and target.ndim:
        found["classes"] = target.numel() // target.shape[0]
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
    number = asked.number()
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
    number = asked.number()
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


def _reduced(asked: Asked) -> dict[str, object] | None:
    axis = asked.get("dim")
    if isinstance(axis, tuple | list) and len(axis) == 1:
        axis = axis[0]
    known = isinstance(axis, int) and not asked.named.get("keepdim")
    return {"axis": axis, "takes": asked.name} if known else {"takes": asked.name}


def _constant(asked: Asked) -> dict[str, object] | None:
    number = asked.number()
    return None if number is None else {"number": number}


READERS: Final[Mapping[str, Callable[[Asked], dict[str, object] | None]]] = {
    **dict.fromkeys(("layer_norm", "rms_norm", "group_norm", "batch_norm"), _norm),
    "gelu": lambda asked: {"flavour": asked.get("approximate", "none")},
    "leaky_relu": lambda asked: {"slope": asked.get("negative_slope", asked.get("slope", 0.01))},
    "softmax": _softmax,
    "log_softmax": _softmax,
    "scaled_dot_product_attention": _attention,
    "linear": _linear,
    **{f"conv{n}d": convolution for n in (1, 2, 3)},
    "embedding": lambda asked: {
        "width": asked["weight"].shape[-1],
        "padding row": asked.get("padding_idx"),
    },
    "hardsigmoid": lambda _: {"own backward": ROUNDED},
    "dropout": _dropout,
    "avg_pool2d": _pool,
    "max_pool2d": _pool,
    "interpolate": _resize,
    **dict.fromkeys(
        (
            *("cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss"),
            *("huber_loss", "binary_cross_entropy_with_logits", "kl_div"),
            "hinge_embedding_loss",
        ),
        loss,
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
