"""Convolutions: padding, layout of images and kernels, and which way the kernel lies."""

from __future__ import annotations

import jax.numpy as jnp
import torch
import torch.nn.functional as F
from flax import nnx
from jax import Array, lax
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Raises, Trap

GUIDE = "https://flax.readthedocs.io/en/stable/migrating/convert_pytorch_to_flax.html"


def default_padding_pytorch() -> Tensor:
    conv = nn.Conv1d(1, 1, kernel_size=3, bias=False)
    nn.init.ones_(conv.weight)
    return conv(torch.ones(1, 1, 5)).flatten()


def default_padding_jax() -> Array:
    ones = nnx.initializers.ones
    conv = nnx.Conv(1, 1, kernel_size=3, use_bias=False, kernel_init=ones, rngs=nnx.Rngs(0))
    return conv(jnp.ones((1, 5, 1))).ravel()


def default_padding_pytorch_fixed() -> Tensor:
    conv = nn.Conv1d(1, 1, kernel_size=3, padding=1, bias=False)
    nn.init.ones_(conv.weight)
    return conv(torch.ones(1, 1, 5)).flatten()


CONV_DEFAULT_PADDING = Trap(
    id="conv-default-padding",
    statement="A convolution pads nothing by default in PyTorch, and to the SAME size in Flax.",
    severity="silent wrong result",
    symptoms="output image larger than expected, shape mismatch after conv, border pixels",
    pytorch=default_padding_pytorch,
    pytorch_gives=[3.0, 3.0, 3.0],
    jax=default_padding_jax,
    jax_gives=[2.0, 3.0, 3.0, 3.0, 2.0],
    fix="Name the padding on both sides.",
    pytorch_fixed=default_padding_pytorch_fixed,
    source=f"{GUIDE}; google/flax#2993",
)


def kernel_layout_pytorch() -> Tensor:
    weight = torch.arange(16.0).reshape(2, 2, 2, 2)  # (out, in, height, width)
    return F.conv2d(torch.ones(1, 2, 2, 2), weight).flatten()


def kernel_layout_jax() -> Array:
    weight = jnp.arange(16.0).reshape(2, 2, 2, 2)
    conv = nnx.Conv(2, 2, (2, 2), padding="VALID", use_bias=False, rngs=nnx.Rngs(0))
    conv.kernel[...] = weight  # (height, width, in, out)
    return conv(jnp.ones((1, 2, 2, 2))).ravel()


def kernel_layout_jax_fixed() -> Array:
    weight = jnp.arange(16.0).reshape(2, 2, 2, 2)
    conv = nnx.Conv(2, 2, (2, 2), padding="VALID", use_bias=False, rngs=nnx.Rngs(0))
    conv.kernel[...] = weight.transpose(2, 3, 1, 0)
    return conv(jnp.ones((1, 2, 2, 2))).ravel()


CONV_KERNEL_LAYOUT = Trap(
    id="conv-kernel-layout",
    statement="A convolution's kernel is (out, in, height, width) in PyTorch and (height, width, "
    "in, out) in Flax.",
    severity="silent wrong result",
    symptoms="converted CNN checkpoint predicts nonsense, OIHW HWIO",
    pytorch=kernel_layout_pytorch,
    pytorch_gives=[28.0, 92.0],  # 0 + ... + 7, and 8 + ... + 15
    jax=kernel_layout_jax,
    jax_gives=[56.0, 64.0],  # the even numbers below 16, and the odd ones
    fix="kernel = weight.transpose(2, 3, 1, 0).",
    jax_fixed=kernel_layout_jax_fixed,
    source=GUIDE,
)


def channels_pytorch() -> Tensor:
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # (batch, channels, length)
    weight = torch.tensor([[[1.0], [0.0]]])  # take the first channel
    return F.conv1d(x, weight).flatten()


def channels_jax() -> Array:
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
    conv = nnx.Conv(2, 1, kernel_size=1, use_bias=False, rngs=nnx.Rngs(0))
    conv.kernel[...] = jnp.array([[[1.0], [0.0]]])
    return conv(x).ravel()


def channels_jax_fixed() -> Array:
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
    conv = nnx.Conv(2, 1, kernel_size=1, use_bias=False, rngs=nnx.Rngs(0))
    conv.kernel[...] = jnp.array([[[1.0], [0.0]]])
    return conv(jnp.moveaxis(x, 1, -1)).ravel()


CONV_CHANNELS_LAST = Trap(
    id="conv-channels-last",
    statement="Channels come second in PyTorch (NCHW) and last in Flax (NHWC); where the sizes "
    "happen to agree nothing complains.",
    severity="silent wrong result",
    symptoms="image model wrong colours, NCHW NHWC, channel axis",
    pytorch=channels_pytorch,
    pytorch_gives=[1.0, 2.0],
    jax=channels_jax,
    jax_gives=[1.0, 3.0],
    fix="Move the channel axis of the input: jnp.moveaxis(x, 1, -1).",
    jax_fixed=channels_jax_fixed,
    source=GUIDE,
)


def strided_pytorch() -> Tensor:
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    return F.conv1d(x, torch.ones(1, 1, 3), stride=2, padding=1).flatten()


def strided_jax() -> Array:
    x = jnp.array([[[1.0, 2.0, 3.0, 4.0]]])
    return lax.conv(x, jnp.ones((1, 1, 3)), window_strides=(2,), padding="SAME").ravel()


def strided_jax_fixed() -> Array:
    x = jnp.array([[[1.0, 2.0, 3.0, 4.0]]])
    return lax.conv_general_dilated(x, jnp.ones((1, 1, 3)), (2,), ((1, 1),)).ravel()


CONV_SAME_STRIDE = Trap(
    id="conv-same-stride",
    statement="With stride 2, 'SAME' pads at the END only, where PyTorch's padding=1 pads both "
    "ends: the same shape, other numbers.",
    severity="silent wrong result",
    symptoms="ResNet port off, downsampling layers differ, features shifted by a pixel",
    pytorch=strided_pytorch,
    pytorch_gives=[3.0, 9.0],  # 0+1+2, 2+3+4
    jax=strided_jax,
    jax_gives=[6.0, 7.0],  # 1+2+3, 3+4+0
    fix="Give the padding as numbers: ((1, 1),) for each dimension.",
    jax_fixed=strided_jax_fixed,
    source="google/flax#963; google/flax#2993; pytorch/pytorch#3867",
)


def same_refused_pytorch() -> Tensor:
    conv = nn.Conv1d(1, 1, kernel_size=3, stride=2, padding="same", bias=False)
    nn.init.ones_(conv.weight)
    return conv(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])).flatten()


def same_refused_jax() -> Array:
    ones, rngs = nnx.initializers.ones, nnx.Rngs(0)
    conv = nnx.Conv(1, 1, 3, strides=2, padding="SAME", use_bias=False, kernel_init=ones, rngs=rngs)
    return conv(jnp.array([[[1.0], [2.0], [3.0], [4.0]]])).ravel()


def same_refused_pytorch_fixed() -> Tensor:
    conv = nn.Conv1d(1, 1, kernel_size=3, stride=2, bias=False)
    nn.init.ones_(conv.weight)
    return conv(F.pad(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), (0, 1))).flatten()


CONV_SAME_STRIDE_REFUSED = Trap(
    id="conv-same-stride-refused",
    statement="PyTorch refuses padding='same' together with a stride; Flax and TensorFlow models "
    "use it everywhere.",
    severity="error",
    symptoms="padding='same' is not supported for strided convolutions, port EfficientNet to torch",
    pytorch=same_refused_pytorch,
    pytorch_gives=Raises("ValueError", "not supported for strided convolutions"),
    jax=same_refused_jax,
    jax_gives=[6.0, 7.0],
    fix="Pad the end by hand first: F.pad(x, (0, 1)).",
    pytorch_fixed=same_refused_pytorch_fixed,
    source="pytorch/pytorch#3867",
)


def transposed_pytorch() -> Tensor:
    conv = nn.ConvTranspose1d(1, 1, kernel_size=3, bias=False)
    conv.load_state_dict({"weight": torch.tensor([[[1.0, 2.0, 3.0]]])})
    return conv(torch.tensor([[[1.0, 0.0]]])).flatten()


def transposed_jax() -> Array:
    conv = nnx.ConvTranspose(1, 1, 3, padding="VALID", use_bias=False, rngs=nnx.Rngs(0))
    conv.kernel[...] = jnp.array([[[1.0]], [[2.0]], [[3.0]]])
    return conv(jnp.array([[[1.0], [0.0]]])).ravel()


def transposed_jax_fixed() -> Array:
    rngs = nnx.Rngs(0)
    conv = nnx.ConvTranspose(
        1, 1, 3, padding="VALID", transpose_kernel=True, use_bias=False, rngs=rngs
    )
    conv.kernel[...] = jnp.array([[[1.0]], [[2.0]], [[3.0]]])
    return conv(jnp.array([[[1.0], [0.0]]])).ravel()


CONV_TRANSPOSE_FLIP = Trap(
    id="conv-transpose-flip",
    statement="PyTorch's transposed convolution is the adjoint of its convolution; JAX's slides "
    "the kernel without turning it round, unless transpose_kernel=True.",
    severity="silent wrong result",
    symptoms="decoder GAN U-Net output mirrored, upsampling artifacts after porting, deconvolution",
    pytorch=transposed_pytorch,
    pytorch_gives=[1.0, 2.0, 3.0, 0.0],
    jax=transposed_jax,
    jax_gives=[3.0, 2.0, 1.0, 0.0],
    fix="transpose_kernel=True, with a kernel of shape (size, out, in).",
    jax_fixed=transposed_jax_fixed,
    source="google/flax#3137; jax-ml/jax#11252",
)


def transposed_size_pytorch() -> tuple[int, ...]:
    return nn.ConvTranspose1d(1, 1, kernel_size=4, stride=2)(torch.ones(1, 1, 5)).shape


def transposed_size_jax() -> tuple[int, ...]:
    conv = nnx.ConvTranspose(1, 1, 4, strides=2, rngs=nnx.Rngs(0))
    return jnp.moveaxis(conv(jnp.ones((1, 5, 1))), -1, 1).shape


def transposed_size_pytorch_fixed() -> tuple[int, ...]:
    return nn.ConvTranspose1d(1, 1, kernel_size=4, stride=2, padding=1)(torch.ones(1, 1, 5)).shape


CONV_TRANSPOSE_SIZE = Trap(
    id="conv-transpose-size",
    statement="A transposed convolution gives (length - 1) * stride + kernel positions by default "
    "in PyTorch and length * stride in Flax.",
    severity="silent wrong result",
    symptoms="decoder output two pixels larger, skip connection sizes do not match",
    pytorch=transposed_size_pytorch,
    pytorch_gives=(1, 1, 12),
    jax=transposed_size_jax,
    jax_gives=(1, 1, 10),
    fix="padding=(kernel - stride) / 2 in PyTorch, or padding='VALID' in Flax.",
    pytorch_fixed=transposed_size_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose1d.html; "
    "google/flax#3137",
)


def flatten_pytorch() -> Tensor:
    features = torch.arange(8.0).reshape(1, 2, 2, 2)  # (batch, channels, height, width)
    return features.flatten(1)


def flatten_jax() -> Array:
    features = jnp.arange(8.0).reshape(1, 2, 2, 2).transpose(0, 2, 3, 1)
    return features.reshape(1, -1)


def flatten_jax_fixed() -> Array:
    features = jnp.arange(8.0).reshape(1, 2, 2, 2).transpose(0, 2, 3, 1)
    return features.transpose(0, 3, 1, 2).reshape(1, -1)


FLATTEN_AFTER_CONV = Trap(
    id="flatten-after-conv",
    statement="Features are flattened channel by channel in PyTorch and pixel by pixel in Flax: "
    "the dense layer after them gets its inputs in another order.",
    severity="silent wrong result",
    symptoms="VGG AlexNet classifier wrong after converting, conv layers agree but logits do not",
    pytorch=flatten_pytorch,
    pytorch_gives=[[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]],
    jax=flatten_jax,
    jax_gives=[[0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]],
    fix="Transpose to channels-first before flattening, or permute the dense kernel's rows.",
    jax_fixed=flatten_jax_fixed,
    source=GUIDE,
)


def pool_pytorch() -> Tensor:
    return F.max_pool1d(torch.tensor([[[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]]), 2).flatten()


def pool_jax() -> Array:
    x = jnp.array([[[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]])
    return nnx.max_pool(x, window_shape=(2,)).ravel()


def pool_jax_fixed() -> Array:
    x = jnp.array([[[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]])
    return nnx.max_pool(x, window_shape=(2,), strides=(2,)).ravel()


POOL_DEFAULT_STRIDE = Trap(
    id="pool-default-stride",
    statement="Pooling moves by the size of its window in PyTorch, and by 1 in Flax.",
    severity="silent wrong result",
    symptoms="feature map not halved, pooling output too large, out of memory",
    pytorch=pool_pytorch,
    pytorch_gives=[1.0, 3.0, 5.0],
    jax=pool_jax,
    jax_gives=[1.0, 2.0, 3.0, 4.0, 5.0],
    fix="Pass strides equal to the window.",
    jax_fixed=pool_jax_fixed,
    source="google/flax#2029",
)


def convolve_pytorch() -> Tensor:
    x, kernel = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 10.0])
    return F.conv1d(x[None, None], kernel[None, None]).flatten()


def convolve_jax() -> Array:
    return jnp.convolve(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 10.0]), "valid")


def convolve_jax_fixed() -> Array:
    return jnp.correlate(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 10.0]), "valid")


CONVOLVE_FLIPS = Trap(
    id="convolve-flips",
    statement="conv1d is a cross-correlation in PyTorch; jnp.convolve, like NumPy's, turns the "
    "kernel round.",
    severity="silent wrong result",
    symptoms="signal filter reversed, asymmetric kernel, correlation",
    pytorch=convolve_pytorch,
    pytorch_gives=[21.0, 32.0],
    jax=convolve_jax,
    jax_gives=[12.0, 23.0],
    fix="jnp.correlate.",
    jax_fixed=convolve_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html; "
    "https://docs.jax.dev/en/latest/_autosummary/jax.numpy.convolve.html",
)
