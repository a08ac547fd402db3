"""Normalization: running statistics, epsilons, axes and how the variance is computed."""

from __future__ import annotations

import jax.numpy as jnp
import torch
import torch.nn.functional as F
from flax import nnx
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Raises, Trap

EPSILON = 2.0**-23  # of float32: PyTorch's default for RMSNorm


def momentum_pytorch() -> Tensor:
    norm = nn.BatchNorm1d(1)
    norm(torch.tensor([[0.0], [2.0]]))  # mean 1
    return norm.running_mean


def momentum_jax() -> Array:
    norm = nnx.BatchNorm(1, rngs=nnx.Rngs(0))
    norm(jnp.array([[0.0], [2.0]]))
    return norm.mean[...]


def momentum_jax_fixed() -> Array:
    norm = nnx.BatchNorm(1, momentum=0.9, rngs=nnx.Rngs(0))
    norm(jnp.array([[0.0], [2.0]]))
    return norm.mean[...]


BATCHNORM_MOMENTUM = Trap(
    id="batchnorm-momentum",
    statement="Batch norm's momentum is the weight of the NEW batch in PyTorch (default 0.1) and "
    "of the OLD average in Flax (default 0.99).",
    severity="silent wrong result",
    symptoms="evaluation accuracy bad while training is fine, running mean barely moves",
    pytorch=momentum_pytorch,
    pytorch_gives=[0.1],
    jax=momentum_jax,
    jax_gives=[0.01],
    fix="Flax's momentum is 1 minus PyTorch's.",
    jax_fixed=momentum_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="1 - 0.9 is not 0.1 in float32",
    source="https://flax.readthedocs.io/en/stable/migrating/convert_pytorch_to_flax.html; "
    "scverse/scvi-tools#2309",
)


def running_var_pytorch() -> Tensor:
    norm = nn.BatchNorm1d(1, momentum=0.5)
    norm(torch.tensor([[0.0], [2.0]]))  # variance 1, unbiased 2
    return norm.running_var


def running_var_jax() -> Array:
    norm = nnx.BatchNorm(1, momentum=0.5, rngs=nnx.Rngs(0))
    norm(jnp.array([[0.0], [2.0]]))
    return norm.var[...]


def running_var_jax_fixed() -> Array:
    norm = nnx.BatchNorm(1, momentum=0.5, rngs=nnx.Rngs(0))
    x = jnp.array([[0.0], [2.0]])
    before = norm.var[...]
    norm(x)
    return 0.5 * before + (norm.var[...] - 0.5 * before) * len(x) / (len(x) - 1)


BATCHNORM_RUNNING_VARIANCE = Trap(
    id="batchnorm-running-variance",
    statement="PyTorch averages the UNBIASED variance of the batches for evaluation, Flax the "
    "biased one; both train with the biased one.",
    severity="silent wrong result",
    symptoms="small batches evaluate differently, running_var too small, bessel correction",
    pytorch=running_var_pytorch,
    pytorch_gives=[1.5],  # (1 + 2) / 2, starting from 1
    jax=running_var_jax,
    jax_gives=[1.0],  # (1 + 1) / 2
    fix="Scale each new variance by n / (n - 1); neither framework has a switch for it.",
    jax_fixed=running_var_jax_fixed,
    source="pytorch/pytorch#19902; pytorch/pytorch#77427",
)


def batch_of_one_pytorch() -> Tensor:
    return nn.BatchNorm1d(2)(torch.tensor([[5.0, 7.0]]))


def batch_of_one_jax() -> Array:
    return nnx.BatchNorm(2, rngs=nnx.Rngs(0))(jnp.array([[5.0, 7.0]]))


def batch_of_one_pytorch_fixed() -> Tensor:
    return nn.BatchNorm1d(2)(torch.tensor([[5.0, 7.0], [6.0, 9.0]]))


def batch_of_one_jax_fixed() -> Array:
    return nnx.BatchNorm(2, rngs=nnx.Rngs(0))(jnp.array([[5.0, 7.0], [6.0, 9.0]]))


BATCHNORM_BATCH_OF_ONE = Trap(
    id="batchnorm-batch-of-one",
    statement="Training batch norm on a single row raises in PyTorch; Flax returns zeros, and all "
    "signal is lost.",
    severity="silent wrong result",
    symptoms="last batch of an epoch has one row, outputs all zero, Expected more than 1 value",
    pytorch=batch_of_one_pytorch,
    pytorch_gives=Raises("ValueError", "Expected more than 1 value per channel"),
    jax=batch_of_one_jax,
    jax_gives=[[0.0, 0.0]],
    fix="Never let a batch of one through: drop the last batch, or merge it.",
    pytorch_fixed=batch_of_one_pytorch_fixed,
    jax_fixed=batch_of_one_jax_fixed,
    fix_tolerance=2e-6,
    fix_tolerance_reason="mean, variance and reciprocal root are rounded in another order",
    source="https://docs.pytorch.org/docs/stable/_modules/torch/nn/functional.html",
)


def channel_axis_pytorch() -> Tensor:
    x = torch.tensor([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 2.0], [3.0, 3.0]]])
    return nn.BatchNorm1d(2, eps=1e-12)(x)[0]


def channel_axis_jax() -> Array:
    x = jnp.array([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 2.0], [3.0, 3.0]]])
    return nnx.BatchNorm(2, epsilon=1e-12, rngs=nnx.Rngs(0))(x)[0]


def channel_axis_jax_fixed() -> Array:
    x = jnp.array([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 2.0], [3.0, 3.0]]])
    return nnx.BatchNorm(2, axis=1, epsilon=1e-12, rngs=nnx.Rngs(0))(x)[0]


BATCHNORM_CHANNEL_AXIS = Trap(
    id="batchnorm-channel-axis",
    statement="Batch norm keeps statistics for axis 1 in PyTorch and for the LAST axis in Flax.",
    severity="silent wrong result",
    symptoms="time series or image statistics wrong, channels first input, NCL",
    pytorch=channel_axis_pytorch,
    pytorch_gives=[[-1.0, -1.0], [-1.0, -1.0]],  # 0 among 0 and 2; 1 among 1 and 3
    jax=channel_axis_jax,
    jax_gives=[[-1.5 / 1.25**0.5] * 2, [-0.5 / 1.25**0.5] * 2],  # 0 and 1 among 0, 1, 2, 3
    fix="Pass axis=1 to Flax where channels come second.",
    jax_fixed=channel_axis_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/normalization.html",
)


def layernorm_pytorch() -> Tensor:
    return nn.LayerNorm(2)(torch.tensor([-0.001, 0.001]))


def layernorm_jax() -> Array:
    return nnx.LayerNorm(2, rngs=nnx.Rngs(0))(jnp.array([-0.001, 0.001]))


def layernorm_jax_fixed() -> Array:
    return nnx.LayerNorm(2, epsilon=1e-5, rngs=nnx.Rngs(0))(jnp.array([-0.001, 0.001]))


LAYERNORM_EPS = Trap(
    id="layernorm-eps",
    statement="Layer norm adds 1e-5 to the variance in PyTorch and 1e-6 in Flax.",
    severity="silent wrong result",
    symptoms="small activations normalized differently, transformer port slightly off, epsilon",
    pytorch=layernorm_pytorch,
    pytorch_gives=[-0.001 / (1e-6 + 1e-5) ** 0.5, 0.001 / (1e-6 + 1e-5) ** 0.5],
    jax=layernorm_jax,
    jax_gives=[-0.001 / (1e-6 + 1e-6) ** 0.5, 0.001 / (1e-6 + 1e-6) ** 0.5],
    fix="Pass epsilon=1e-5.",
    jax_fixed=layernorm_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="reciprocal roots are rounded differently",
    source="google/flax#2195",
)


def groupnorm_pytorch() -> Tensor:
    return nn.GroupNorm(1, 2)(torch.tensor([[-0.001, 0.001]]))


def groupnorm_jax() -> Array:
    return nnx.GroupNorm(2, num_groups=1, rngs=nnx.Rngs(0))(jnp.array([[-0.001, 0.001]]))


def groupnorm_jax_fixed() -> Array:
    norm = nnx.GroupNorm(2, num_groups=1, epsilon=1e-5, rngs=nnx.Rngs(0))
    return norm(jnp.array([[-0.001, 0.001]]))


GROUPNORM_EPS = Trap(
    id="groupnorm-eps",
    statement="Group norm adds 1e-5 to the variance in PyTorch and 1e-6 in Flax; the two also take "
    "groups and channels in opposite order.",
    severity="silent wrong result",
    symptoms="diffusion U-Net port slightly off, small activations, epsilon, num_groups",
    pytorch=groupnorm_pytorch,
    pytorch_gives=[[-0.001 / (1e-6 + 1e-5) ** 0.5, 0.001 / (1e-6 + 1e-5) ** 0.5]],
    jax=groupnorm_jax,
    jax_gives=[[-0.001 / (1e-6 + 1e-6) ** 0.5, 0.001 / (1e-6 + 1e-6) ** 0.5]],
    fix="Pass epsilon=1e-5, and num_groups by name.",
    jax_fixed=groupnorm_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="reciprocal roots are rounded differently",
    source="google/flax#2195",
)


def rmsnorm_pytorch() -> Tensor:
    return nn.RMSNorm(2)(torch.tensor([0.001, 0.001]))


def rmsnorm_jax() -> Array:
    return nnx.RMSNorm(2, rngs=nnx.Rngs(0))(jnp.array([0.001, 0.001]))


def rmsnorm_pytorch_fixed() -> Tensor:
    return nn.RMSNorm(2, eps=1e-6)(torch.tensor([0.001, 0.001]))


RMSNORM_EPS = Trap(
    id="rmsnorm-eps",
    statement="RMS norm's epsilon is float32's own (1.2e-7) by default in PyTorch and 1e-6 in "
    "Flax.",
    severity="silent wrong result",
    symptoms="LLaMA port slightly off, small activations, epsilon None",
    pytorch=rmsnorm_pytorch,
    pytorch_gives=[0.001 / (1e-6 + EPSILON) ** 0.5] * 2,
    jax=rmsnorm_jax,
    jax_gives=[0.001 / (1e-6 + 1e-6) ** 0.5] * 2,
    fix="Pass the epsilon of the model you port on both sides.",
    pytorch_fixed=rmsnorm_pytorch_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="reciprocal roots are rounded differently",
    source="huggingface/candle#271; "
    "https://docs.pytorch.org/docs/stable/generated/torch.nn.RMSNorm.html",
)


def fast_variance_pytorch() -> Tensor:
    return nn.LayerNorm(2, eps=1e-5)(torch.tensor([9999.0, 10001.0]))


def fast_variance_jax() -> Array:
    return nnx.LayerNorm(2, epsilon=1e-5, rngs=nnx.Rngs(0))(jnp.array([9999.0, 10001.0]))


def fast_variance_jax_fixed() -> Array:
    norm = nnx.LayerNorm(2, epsilon=1e-5, use_fast_variance=False, rngs=nnx.Rngs(0))
    return norm(jnp.array([9999.0, 10001.0]))


NORM_FAST_VARIANCE = Trap(
    id="norm-fast-variance",
    statement="Flax's norms compute the variance as mean(x^2) - mean(x)^2, which cancels to "
    "nothing where the mean is large; PyTorch subtracts the mean first.",
    severity="silent wrong result",
    symptoms="normalized values of hundreds, unscaled inputs explode, catastrophic cancellation",
    pytorch=fast_variance_pytorch,
    pytorch_gives=[-(1.00001**-0.5), 1.00001**-0.5],
    jax=fast_variance_jax,
    jax_gives=[-(1e-5**-0.5), 1e-5**-0.5],  # the variance has become 0
    fix="use_fast_variance=False.",
    jax_fixed=fast_variance_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="reciprocal roots are rounded differently; seen on an Intel Xeon",
    source="google/flax#1491",
)


def axes_pytorch() -> Tensor:
    return nn.LayerNorm((2, 2), eps=0.0)(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))


def axes_jax() -> Array:
    return nnx.LayerNorm(2, epsilon=0.0, rngs=nnx.Rngs(0))(jnp.array([[0.0, 1.0], [2.0, 3.0]]))


def axes_jax_fixed() -> Array:
    norm = nnx.LayerNorm(2, epsilon=0.0, reduction_axes=(-2, -1), rngs=nnx.Rngs(0))
    return norm(jnp.array([[0.0, 1.0], [2.0, 3.0]]))


LAYERNORM_AXES = Trap(
    id="layernorm-axes",
    statement="PyTorch's layer norm covers all axes of its normalized_shape; Flax's covers the "
    "last one unless reduction_axes says more.",
    severity="silent wrong result",
    symptoms="ConvNeXt image layer norm differs, normalized_shape with several dimensions",
    pytorch=axes_pytorch,
    pytorch_gives=[
        [-1.5 / 1.25**0.5, -0.5 / 1.25**0.5],
        [0.5 / 1.25**0.5, 1.5 / 1.25**0.5],
    ],
    jax=axes_jax,
    jax_gives=[[-1.0, 1.0], [-1.0, 1.0]],
    fix="Pass reduction_axes for every axis of normalized_shape.",
    jax_fixed=axes_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="reciprocal roots are rounded differently",
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/normalization.html",
)


def zero_vector_pytorch() -> Tensor:
    return F.normalize(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))


def zero_vector_jax() -> Array:
    x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


def zero_vector_jax_fixed() -> Array:
    x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


NORMALIZE_ZERO_VECTOR = Trap(
    id="normalize-zero-vector",
    statement="F.normalize never divides by less than 1e-12; the usual x / norm(x) of a port gives "
    "NaN for a zero vector.",
    severity="silent wrong result",
    symptoms="nan in cosine similarity or contrastive loss, embedding of an empty text",
    pytorch=zero_vector_pytorch,
    pytorch_gives=[[0.0, 0.0], [0.6, 0.8]],
    jax=zero_vector_jax,
    jax_gives=[[float("nan"), float("nan")], [0.6, 0.8]],
    fix="Divide by maximum(norm, 1e-12).",
    jax_fixed=zero_vector_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html",
)
