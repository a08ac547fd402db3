"""Resizing images."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Trap


def antialias_pytorch() -> Tensor:
    x = torch.tensor([[[[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]]])
    return F.interpolate(x, (1, 2), mode="bilinear").flatten()


def antialias_jax() -> Array:
    x = jnp.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    return jax.image.resize(x, (2,), "linear")


def antialias_jax_fixed() -> Array:
    x = jnp.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    return jax.image.resize(x, (2,), "linear", antialias=False)


RESIZE_ANTIALIAS = Trap(
    id="resize-antialias",
    statement="Shrinking an image smooths it first in JAX and not in PyTorch, which skips pixels.",
    severity="silent wrong result",
    symptoms="downsampled image differs, FID or CLIP score differs, interpolate, aliasing",
    pytorch=antialias_pytorch,
    pytorch_gives=[0.0, 0.0],  # reads the pixels at 1.5 and 5.5
    jax=antialias_jax,
    # a triangle of half-width 4 around 1.5: weights .625, .875, .875, .625, .375, .125
    jax_gives=[0.625 / 3.5, 0.0],
    fix="antialias=False in JAX, or antialias=True in PyTorch.",
    jax_fixed=antialias_jax_fixed,
    source="jax-ml/jax#11206; sayakpaul/cmmd-pytorch#5",
)


def nearest_pytorch() -> Tensor:
    return F.interpolate(torch.arange(5.0)[None, None], 3, mode="nearest").flatten()


def nearest_jax() -> Array:
    return jax.image.resize(jnp.arange(5.0), (3,), "nearest")


def nearest_pytorch_fixed() -> Tensor:
    return F.interpolate(torch.arange(5.0)[None, None], 3, mode="nearest-exact").flatten()


RESIZE_NEAREST = Trap(
    id="resize-nearest",
    statement="'nearest' takes the pixel at floor(i * scale) in PyTorch, and the one nearest to "
    "the centre of the new pixel in JAX.",
    severity="silent wrong result",
    symptoms="segmentation mask shifted by a pixel, label map resized differently",
    pytorch=nearest_pytorch,
    pytorch_gives=[0.0, 1.0, 3.0],  # floor of 0, 5/3, 10/3
    jax=nearest_jax,
    jax_gives=[0.0, 2.0, 4.0],  # floor of 5/6, 15/6, 25/6
    fix="mode='nearest-exact' in PyTorch.",
    pytorch_fixed=nearest_pytorch_fixed,
    source="jax-ml/jax#15768",
)


def bicubic_pytorch() -> Tensor:
    x = torch.tensor([[[[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]]])
    return F.interpolate(x, (1, 4), mode="bicubic").flatten()


def bicubic_jax() -> Array:
    x = jnp.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    return jax.image.resize(x, (4,), "cubic", antialias=False)


def bicubic_pytorch_fixed() -> Tensor:
    x = torch.tensor([[[[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]]])
    return F.interpolate(x, (1, 4), mode="bicubic", antialias=True).flatten()


def bicubic_jax_fixed() -> Array:
    x = jnp.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    return jax.image.resize(x, (4,), "cubic")


RESIZE_BICUBIC = Trap(
    id="resize-bicubic",
    statement="The cubic kernel has a = -0.75 in PyTorch and -0.5 in JAX, even with antialiasing "
    "off on both sides.",
    severity="silent wrong result",
    symptoms="bicubic image differs a little, super resolution PSNR, position embedding resize",
    pytorch=bicubic_pytorch,
    # the kernel is 1/2 - a/8 at distance 0.5 and a/8 at distance 1.5
    pytorch_gives=[0.0, -0.75 / 8, 1.0 + 0.75 / 8, 1.0],
    jax=bicubic_jax,
    jax_gives=[0.0, -0.5 / 8, 1.0 + 0.5 / 8, 1.0],
    fix="With antialias=True on both sides PyTorch uses -0.5 as well.",
    pytorch_fixed=bicubic_pytorch_fixed,
    jax_fixed=bicubic_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="the weights are summed in another order",
    source="jax-ml/jax#15768",
)
