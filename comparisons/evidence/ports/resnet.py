"""A small ResNet in PyTorch (NCHW), and its port to Flax NNX (NHWC).

The head flattens a feature map of 2 x 2 instead of pooling it away, so that the order matters.
"""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch import nn
from torch.nn import functional

from comparisons.evidence.ports.losses import jax_loss, torch_loss
from comparisons.evidence.ports.optimizers import jax_optimizer, torch_optimizer
from comparisons.evidence.ports.pictures import picture_call
from comparisons.evidence.ports.plan import Plan
from twofold import port

IMAGES: Final = True


class _Shape:
    """Settings of one convolution: `stride`, `padding` a number or "SAME", `dilation`, `groups`."""

    def __init__(self, plan: Plan, size: int, stride: int, groups: int = 1) -> None:
        self.size, self.stride = size, plan.get("stride", stride)
        self.dilation = plan.get("dilation", 1)
        self.groups = plan.get("groups", groups)
        self.padding = plan.get("padding", self.dilation * (size // 2))
        self.bias = plan.get("bias", False)
        self.mode = plan.get("padding_mode", "zeros")

    def sides(self, length: int) -> tuple[int, int]:
        """Padding before and after, "SAME" as XLA counts it."""
        if self.padding != "SAME":
            return self.padding, self.padding
        reach = (self.size - 1) * self.dilation + 1
        total = max((-(-length // self.stride) - 1) * self.stride + reach - length, 0)
        return total // 2, total - total // 2


class _Norm:
    """Settings of one batch normalization; `momentum` is what PyTorch calls so."""

    def __init__(self, plan: Plan) -> None:
        self.eps = plan.get("eps", 1e-5)
        self.momentum = plan.get("momentum", 0.1)
        self.mode = plan.get("mode", "as told")
        self.bias = plan.get("bias", True)


def _act(plan: Plan) -> tuple[str, float]:
    return plan.get("act", "relu"), plan.get("slope", 0.0)


# PyTorch


class Conv(nn.Conv2d):
    """A convolution that can pad as XLA's "SAME" does."""

    def __init__(self, shape: _Shape, inputs: int, outputs: int) -> None:
        super().__init__(
            inputs, outputs, shape.size, shape.stride, 0, shape.dilation, shape.groups, shape.bias
        )
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads = (*self.shape.sides(x.shape[3]), *self.shape.sides(x.shape[2]))
        mode = "reflect" if self.shape.mode == "reflect" else "constant"
        return super().forward(functional.pad(x, pads, mode))


class Norm(nn.BatchNorm2d):
    """Batch normalization; `mode` says whether it goes by statistics of the batch."""

    def __init__(self, how: _Norm, width: int) -> None:
        super().__init__(width, how.eps, how.momentum)
        self.how = how
        if not how.bias:
            self.bias = None  # type: ignore[assignment]  # as PyTorch itself leaves it out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how.mode != "as told":
            self.training = self.how.mode == "batch"
        return super().forward(x)


class Block(nn.Module):
    def __init__(self, plan: Plan, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv(_Shape(plan.at("conv1"), 3, stride), inputs, width)
        self.bn1 = Norm(_Norm(plan.at("bn1")), width)
        self.conv2 = Conv(_Shape(plan.at("conv2"), 3, 1, plan.get("groups", 1)), width, width)
        self.bn2 = Norm(_Norm(plan.at("bn2")), width)
        self.short = inputs != width or stride != 1
        if self.short:
            self.down = Conv(_Shape(plan.at("down"), 1, stride), inputs, width)
            self.down_bn = Norm(_Norm(plan.at("down_bn")), width)
        self.act, self.slope = _act(plan)
        self.order = plan.get("order", "add, act")
        self.skip = plan.get("skip", True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self._act(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if not self.skip:
            return self._act(y)
        short = self.down_bn(self.down(x)) if self.short else x
        return self._act(y + short) if self.order == "add, act" else self._act(y) + short

    def _act(self, x: torch.Tensor) -> torch.Tensor:
        if self.act == "relu":
            return functional.leaky_relu(x, self.slope) if self.slope else functional.relu(x)
        return getattr(functional, self.act)(x)


class ResNet(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        width = plan.get("width", 4)
        self.conv = Conv(_Shape(plan.at("conv"), 3, 1), plan.get("channels", 3), width)
        self.bn = Norm(_Norm(plan.at("bn")), width)
        self.block1 = Block(plan.at("block1"), width, width, 1)
        self.block2 = Block(plan.at("block2"), width, 2 * width, 2)
        self.fc = nn.Linear(4 * 2 * width, plan.get("classes", 3))
        self.how = _Around(plan)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        how = self.how
        x = functional.relu(self.bn(self.conv(x)))
        if how.pool == "max":
            x = functional.max_pool2d(x, 3, 2, 1, ceil_mode=False)
        elif how.pool == "max, padded by 0":
            x = functional.max_pool2d(functional.pad(x - how.lift, (1, 1, 1, 1)), 3, 2)
        else:
            x = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=how.pool == "average")
        x = self.block2(self.block1(x))
        size = x.shape[2] // 2
        x = (
            functional.avg_pool2d(x, size)
            if how.last == "average"
            else functional.max_pool2d(x, size)
        )
        if how.flatten == "hwc":
            x = x.permute(0, 2, 3, 1)
        elif how.flatten == "cwh":
            x = x.transpose(2, 3)
        return self.fc(x.flatten(1))


class _Around:
    """Settings of what is around the blocks."""

    def __init__(self, plan: Plan) -> None:
        self.pool = plan.get("pool", "max")
        self.last = plan.get("last_pool", "average")
        self.flatten = plan.get("flatten", "chw")
        self.lift = plan.get("lift", 0.0)


def torch_side(plan: Plan, seed: int) -> port.Torch:
    """The side of PyTorch."""
    torch.manual_seed(seed)
    module = ResNet(plan)
    return port.Torch(module, call=_call(plan, 1), loss=torch_loss(plan), **torch_optimizer(plan))


# Flax NNX


class NnxConv(nnx.Conv):
    """A convolution with padding as PyTorch writes it, or "SAME"."""

    def __init__(self, shape: _Shape, inputs: int, outputs: int, rngs: nnx.Rngs) -> None:
        same = shape.padding == "SAME"
        super().__init__(
            inputs,
            outputs,
            (shape.size, shape.size),
            strides=shape.stride,
            padding="SAME" if same else ((shape.padding,) * 2,) * 2,
            kernel_dilation=shape.dilation,
            feature_group_count=shape.groups,
            use_bias=shape.bias,
            rngs=rngs,
        )
        self.reflected = shape.padding if shape.mode == "reflect" else 0
        if self.reflected:
            self.padding = "VALID"

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]  # takes less
        if self.reflected:
            pads = ((0, 0), (self.reflected,) * 2, (self.reflected,) * 2, (0, 0))
            x = jnp.pad(x, pads, mode="reflect")
        return super().__call__(x)


class NnxNorm(nnx.BatchNorm):
    """Batch normalization; `mode` says whether it goes by statistics of the batch."""

    def __init__(self, how: _Norm, width: int, rngs: nnx.Rngs) -> None:
        super().__init__(
            width,
            momentum=1 - how.momentum,
            epsilon=how.eps,
            use_bias=how.bias,
            use_fast_variance=False,
            rngs=rngs,
        )
        self.mode = how.mode

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]  # takes less
        if self.mode == "as told":
            return super().__call__(x)
        return super().__call__(x, use_running_average=self.mode == "running")


class NnxBlock(nnx.Module):
    def __init__(self, plan: Plan, inputs: int, width: int, stride: int, rngs: nnx.Rngs) -> None:
        self.conv1 = NnxConv(_Shape(plan.at("conv1"), 3, stride), inputs, width, rngs)
        self.bn1 = NnxNorm(_Norm(plan.at("bn1")), width, rngs)
        second = _Shape(plan.at("conv2"), 3, 1, plan.get("groups", 1))
        self.conv2 = NnxConv(second, width, width, rngs)
        self.bn2 = NnxNorm(_Norm(plan.at("bn2")), width, rngs)
        self.short = inputs != width or stride != 1
        if self.short:
            self.down = NnxConv(_Shape(plan.at("down"), 1, stride), inputs, width, rngs)
            self.down_bn = NnxNorm(_Norm(plan.at("down_bn")), width, rngs)
        self.act, self.slope = _act(plan)
        self.order = plan.get("order", "add, act")
        self.skip = plan.get("skip", True)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self._act(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if not self.skip:
            return self._act(y)
        short = self.down_bn(self.down(x)) if self.short else x
        return self._act(y + short) if self.order == "add, act" else self._act(y) + short

    def _act(self, x: jax.Array) -> jax.Array:
        if self.act == "relu":
            return nnx.leaky_relu(x, self.slope) if self.slope else nnx.relu(x)
        if self.act == "gelu":
            return nnx.gelu(x, approximate=False)  # as PyTorch's is by default
        return getattr(jax.nn, self.act)(x)


class NnxResNet(nnx.Module):
    def __init__(self, plan: Plan, rngs: nnx.Rngs) -> None:
        width = plan.get("width", 4)
        self.conv = NnxConv(_Shape(plan.at("conv"), 3, 1), plan.get("channels", 3), width, rngs)
        self.bn = NnxNorm(_Norm(plan.at("bn")), width, rngs)
        self.block1 = NnxBlock(plan.at("block1"), width, width, 1, rngs)
        self.block2 = NnxBlock(plan.at("block2"), width, 2 * width, 2, rngs)
        self.fc = nnx.Linear(4 * 2 * width, plan.get("classes", 3), rngs=rngs)
        self.how = nnx.static(_Around(plan))

    def __call__(self, x: jax.Array) -> jax.Array:
        how, ones = self.how, ((1, 1), (1, 1))
        x = nnx.relu(self.bn(self.conv(x)))
        if how.pool == "max":
            x = nnx.max_pool(x, (3, 3), (2, 2), ones)
        elif how.pool == "max, padded by 0":
            x = jnp.pad(x - how.lift, ((0, 0), *ones, (0, 0)))
            x = nnx.max_pool(x, (3, 3), (2, 2), "VALID")
        else:
            counted = how.pool == "average"
            x = nnx.avg_pool(x, (3, 3), (2, 2), ones, count_include_pad=counted)
        x = self.block2(self.block1(x))
        size = (x.shape[1] // 2,) * 2
        pool: Any = nnx.avg_pool if how.last == "average" else nnx.max_pool
        x = pool(x, size, size)
        if how.flatten == "chw":
            x = x.transpose(0, 3, 1, 2)
        elif how.flatten == "cwh":
            x = x.transpose(0, 3, 2, 1)
        return self.fc(x.reshape(len(x), -1))


def jax_side(plan: Plan, seed: int) -> port.Nnx:
    """The side of NNX."""
    model = NnxResNet(plan, nnx.Rngs(seed))
    return port.Nnx(model, call=_call(plan, -1), loss=jax_loss(plan), **jax_optimizer(plan))


# Both


def _call(plan: Plan, channels: int) -> Any:
    """The model on pictures of 0 to 255 as a data pipeline gives them."""
    return picture_call(plan.at("data"), channels)


def batches(plan: Plan, seed: int) -> list[dict[str, Any]]:
    """Two batches: `x` (batch, 3, size, size) from 0 to 255, and `labels` (batch,)."""
    numbers = np.random.default_rng(seed)
    rows, size = plan.get("batch", 3), plan.get("size", 8)
    return [
        {
            "x": numbers.uniform(0, 255, (rows, 3, size, size)),
            "labels": numbers.integers(0, plan.get("classes", 3), rows),
        }
        for _ in range(2)
    ]
