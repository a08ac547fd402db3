"""Functions with a backward of their own: seen, and run with the derivative of their forward.

A subclass of `torch.autograd.Function` (torch/autograd/function.py, PyTorch 2.13) has a `forward`
and a `backward`, which PyTorch looks up in the class at each call. While a model is watched both
are replaced; a `TorchFunctionMode` would not see the call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, final

import torch
from torch.autograd import Function

from twofold_torch.port.sites import Sites


@final
class Functions:
    """Tells the sites each call of such a function, and runs some without their own backward.

    It has to stay until the gradients are there.
    """

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._restore = ExitStack()

    def __enter__(self) -> Functions:
        for cls in _below(Function):
            if "forward" in vars(cls) and "backward" in vars(cls):
                self._watch(cls)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore.close()

    def _watch(self, cls: Any) -> None:
        forward, backward, set_up = cls.forward, cls.backward, cls.setup_context
        apart = set_up is not Function.setup_context
        settings = {"name": cls.__name__, "own backward": f"{cls.__name__}.backward"}
        asked: list[bool] = []

        def told(*args: Any) -> Any:
            asked.append(bool(self._sites.added("function", settings).get("written out")))
            if not apart and asked.pop():
                args[0].twofold_inputs = args[1:]
            return forward(*args)

        def kept(ctx: Any, inputs: Any, output: Any) -> Any:
            if asked.pop():
                ctx.twofold_inputs = inputs
            return set_up(ctx, inputs, output)

        def derived(ctx: Any, *gradients: Any) -> Any:
            inputs = getattr(ctx, "twofold_inputs", None)
            if inputs is None:
                return backward(ctx, *gradients)
            return _derivatives(forward, () if apart else (_Context(inputs),), inputs, gradients)

        self._replace(cls, "forward", told)
        self._replace(cls, "backward", derived)
        if apart:
            self._replace(cls, "setup_context", kept)

    def _replace(self, cls: Any, name: str, new: Any) -> None:
        own = vars(cls).get(name)
        setattr(cls, name, staticmethod(new))
        if own is None:
            self._restore.callback(delattr, cls, name)
        else:
            self._restore.callback(setattr, cls, name, own)


def _below(cls: Any) -> Iterator[Any]:
    for each in cls.__subclasses__():
        yield each
        yield from _below(each)


def _derivatives(
    forward: Any, first: tuple[Any, ...], inputs: tuple[Any, ...], gradients: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The gradients of the inputs, by PyTorch's own differentiation of the forward."""
    with torch.enable_grad():
        own = [
            value.detach().requires_grad_(value.requires_grad) if torch.is_tensor(value) else value
            for value in inputs
        ]
        made = forward(*first, *own)
        outputs = made if isinstance(made, tuple) else (made,)
        pairs = [
            (output, gradient)
            for output, gradient in zip(outputs, gradients, strict=True)
            if gradient is not None and output.requires_grad
        ]
        wanted = [v for v in own if torch.is_tensor(v) and v.requires_grad]
        found = torch.autograd.grad(
            [o for o, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True
        )
    rest = iter(found)
    return tuple(next(rest) if torch.is_tensor(v) and v.requires_grad else None for v in own)


@final
class _Context:
    """What a forward may ask of its context; nothing is kept for a backward."""

    def __init__(self, args: tuple[Any, ...]) -> None:
        self.needs_input_grad = tuple(torch.is_tensor(a) and a.requires_grad for a in args)

    def save_for_backward(self, *_: Any) -> None:
        """Nothing is saved."""

    save_for_forward = mark_dirty = mark_non_differentiable = save_for_backward

    def set_materialize_grads(self, value: bool) -> None:
        """Without a backward of its own there is nothing to set."""
