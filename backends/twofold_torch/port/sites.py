"""Operations of a PyTorch run that can be run in another way: seen, and changed where asked.

A `TorchFunctionMode` sees every function of PyTorch as the person or a module calls it, with
gradients below it. Positions of arguments are those of PyTorch 2.13 (torch/nn/functional.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, final

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from twofold.port.calling import own_line
from twofold.port.causes.sites import WHOLE_LOSS, Change, Site
from twofold_torch.port.asked import Asked
from twofold_torch.port.changed import changed
from twofold_torch.port.origins import Origins
from twofold_torch.port.places import Places

_NORM: Final = ("input", "shape", "weight", "bias", "eps")
_CONV: Final = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_LOSS: Final = ("input", "target", "size_average", "reduce", "reduction")
_POOL: Final = ("input", "kernel_size", "stride", "padding")
KINDS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "layer_norm": ("layer norm", _NORM),
    "rms_norm": ("rms norm", ("input", "shape", "weight", "eps")),
    "group_norm": ("group norm", ("input", "groups", "weight", "bias", "eps")),
    "batch_norm": (
        "batch norm",
        ("input", "mean", "variance", "weight", "bias", "training", "momentum", "eps"),
    ),
    "gelu": ("gelu", ("input", "approximate")),
    **dict.fromkeys(
        (
            *("relu", "silu", "tanh", "sigmoid", "leaky_relu", "elu", "mish", "softplus"),
            "hardsigmoid",
        ),
        ("activation", ("input", "slope")),
    ),
    "softmax": ("softmax", ("input", "dim")),
    "log_softmax": ("softmax", ("input", "dim")),
    "scaled_dot_product_attention": (
        "attention",
        ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale"),
    ),
    "linear": ("linear", ("input", "weight", "bias")),
    **{f"conv{n}d": ("convolution", _CONV) for n in (1, 2, 3)},
    "embedding": ("embedding", ("input", "weight", "padding_idx")),
    "dropout": ("dropout", ("input", "p", "training")),
    "avg_pool2d": ("average pool", (*_POOL, "ceil_mode", "count_include_pad")),
    "max_pool2d": ("max pool", (*_POOL, "dilation", "ceil_mode")),
    "interpolate": (
        "resize",
        ("input", "size", "scale_factor", "mode", "align_corners", "recompute", "antialias"),
    ),
    "cross_entropy": (
        "loss",
        (
            *("input", "target", "weight", "size_average", "ignore_index", "reduce"),
            *("reduction", "label_smoothing"),
        ),
    ),
    "nll_loss": (
        "loss",
        ("input", "target", "weight", "size_average", "ignore_index", "reduce", "reduction"),
    ),
    "mse_loss": ("loss", _LOSS),
    "l1_loss": ("loss", _LOSS),
    "smooth_l1_loss": ("loss", (*_LOSS, "beta")),
    "huber_loss": ("loss", ("input", "target", "reduction", "delta")),
    "binary_cross_entropy_with_logits": (
        "loss",
        ("input", "target", "weight", "size_average", "reduce", "reduction", "pos_weight"),
    ),
    "hinge_embedding_loss": (
        "loss",
        ("input", "target", "margin", "size_average", "reduce", "reduction"),
    ),
    "kl_div": ("loss", (*_LOSS, "log_target")),
    "var": ("variance", ("input",)),
    "std": ("variance", ("input",)),
    "tril": ("triangle", ("input", "diagonal")),
    "triu": ("triangle", ("input", "diagonal")),
    "arange": ("positions", ()),
    "flatten": ("flatten", ("input", "start_dim")),
    "reshape": ("flatten", ("input",)),
    "view": ("flatten", ("input",)),
    "add": ("sum", ("input", "other")),
    "sub": ("constant", ("input", "other")),
    "mul": ("constant", ("input", "other")),
    "div": ("constant", ("input", "other")),
    "masked_fill": ("mask", ("input", "mask", "value")),
    "cat": ("join", ("tensors", "dim")),
    "__getitem__": ("select", ("input", "index")),
    "mean": ("mean", ("input", "dim")),
    "sum": ("mean", ("input", "dim")),
    "detach": ("detach", ("input",)),
    **dict.fromkeys(("chunk", "split", "unbind"), ("split", ("input",))),
    **dict.fromkeys(("transpose", "permute", "swapaxes", "movedim"), ("turn", ("input",))),
    "pad": ("pad", ("input", "pad", "mode", "value")),
    **dict.fromkeys(("new_tensor", "tensor", "as_tensor"), ("table", ())),
    **dict.fromkeys(("ne", "eq", "lt", "le", "gt", "ge"), ("compare", ("input", "other"))),
    "pow": ("power", ("input", "exponent")),
}
SAME_NAME: Final = {
    "__add__": "add",
    "__radd__": "add",
    "__iadd__": "add",
    "add_": "add",
    "__sub__": "sub",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__imul__": "mul",
    "mul_": "mul",
    "__truediv__": "div",
    "true_divide": "div",
    "div_": "div",
    "relu_": "relu",
    "masked_fill_": "masked_fill",
    "__pow__": "pow",
    **{f"__{name}__": name for name in ("ne", "eq", "lt", "le", "gt", "ge")},
    "concat": "cat",
    "concatenate": "cat",
}
COMPOSED: Final = frozenset({"multi_head_attention_forward"})
"""Functions of several operations, which are seen one by one."""


@final
class Sites(TorchFunctionMode):
    """A mode that numbers the operations of known kinds, and runs some with other settings."""

    def __init__(self, places: Places | None, changes: Sequence[Change]) -> None:
        super().__init__()
        self.found: list[Site] = []
        self._places = places
        self._changes = {change.site: change.settings for change in changes}
        self._norms: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._origins = Origins(self.found)

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = SAME_NAME.get(func.__name__, func.__name__)
        if name in COMPOSED:
            with _opened(), self:
                return func(*args, **named)
        if self._places is not None and self._places.busy:
            return func(*args, **named)
        if name not in KINDS:
            return self._origins.kept(name, args, func(*args, **named))
        kind, parameters = KINDS[name]
        asked = Asked(name, func, parameters, args, named, self._norms)
        settings = asked.settings()
        if settings is None:
            return self._origins.kept(name, args, func(*args, **named))
        number = len(self.found)
        change = self.added(asked.kind(kind), settings)
        result = changed(asked, change) if change else func(*args, **named)
        if "norm" in kind and torch.is_tensor(result):
            self._norms[id(asked["input"])] = (asked["input"], result)
        self._origins.ran(self.found[number], args, result)
        return result

    def added(self, kind: str, settings: Mapping[str, object]) -> Mapping[str, object]:
        """Number one more operation; gives the settings with which it is to run, {} for its own."""
        place = "" if self._places is None else self._places.current
        number = len(self.found)
        self.found.append(Site(number, kind, settings, own_line(), place))
        return self._changes.get(number, {})


def changed_loss(loss: torch.Tensor, changes: Sequence[Change]) -> torch.Tensor:
    """The whole loss times a number, or its root, where that is asked."""
    new = next((change.settings for change in changes if change.site == WHOLE_LOSS), {})
    if new.get("root"):
        return loss.sqrt()
    return loss * float(str(new["times"])) if "times" in new else loss


@contextmanager
def _opened() -> Iterator[None]:
    """Let a composed function run its own body, though a mode is on."""
    inside = vars(F)
    asks = inside["has_torch_function"]
    inside["has_torch_function"] = _never
    try:
        yield
    finally:
        inside["has_torch_function"] = asks


def _never(_tensors: object) -> bool:
    return False
