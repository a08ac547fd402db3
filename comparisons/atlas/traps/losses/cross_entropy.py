"""Cross entropy: labels, weights, reductions, and softmax applied twice."""

from __future__ import annotations

from math import e, log, nan

import jax
import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap

CROSS_ENTROPY = "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html"
OPTAX = "https://optax.readthedocs.io/en/latest/api/losses.html"


def broadcast_pytorch() -> Tensor:
    logits, labels = torch.zeros(3, 3), torch.tensor([0, 1, 2])
    return F.cross_entropy(logits, labels, reduction="none")


def broadcast_jax() -> Array:
    logits, labels = jnp.zeros((3, 3)), jnp.array([0, 1, 2])
    return optax.softmax_cross_entropy(logits, labels)


def broadcast_jax_fixed() -> Array:
    logits, labels = jnp.zeros((3, 3)), jnp.array([0, 1, 2])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


CE_INTEGER_LABELS = Trap(
    id="ce-integer-labels",
    statement="optax.softmax_cross_entropy wants a distribution for each row. Integer labels are "
    "broadcast as if they were weights where the batch has as many rows as there are classes.",
    severity="silent wrong result",
    symptoms="loss too large, model does not learn, one hot labels, index labels",
    pytorch=broadcast_pytorch,
    pytorch_gives=[log(3.0), log(3.0), log(3.0)],
    jax=broadcast_jax,
    jax_gives=[3 * log(3.0)] * 3,  # weights 0, 1 and 2
    fix="Use softmax_cross_entropy_with_integer_labels.",
    jax_fixed=broadcast_jax_fixed,
    source=OPTAX,
)


def reduction_pytorch() -> Tensor:
    return F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]))


def reduction_jax() -> Array:
    logits, labels = jnp.zeros((2, 3)), jnp.array([0, 1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def reduction_jax_fixed() -> Array:
    logits, labels = jnp.zeros((2, 3)), jnp.array([0, 1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


LOSS_REDUCTION = Trap(
    id="loss-reduction",
    statement="PyTorch's losses average over the batch by default; Optax's return one number for "
    "each example (or for each element), and leave the reduction to you.",
    severity="silent wrong result",
    symptoms="Gradient only defined for scalar-output functions, loss scaled by the batch size",
    pytorch=reduction_pytorch,
    pytorch_gives=log(3.0),
    jax=reduction_jax,
    jax_gives=[log(3.0), log(3.0)],
    fix="Take .mean() yourself; .sum() would multiply the learning rate by the batch size.",
    jax_fixed=reduction_jax_fixed,
    source=OPTAX,
)


def class_weights_pytorch() -> Tensor:
    logits, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    return F.cross_entropy(logits, labels, weight=torch.tensor([1.0, 3.0]))


def class_weights_jax() -> Array:
    logits, labels, weight = jnp.zeros((2, 2)), jnp.array([0, 1]), jnp.array([1.0, 3.0])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return (losses * weight[labels]).mean()


def class_weights_jax_fixed() -> Array:
    logits, labels, weight = jnp.zeros((2, 2)), jnp.array([0, 1]), jnp.array([1.0, 3.0])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return (losses * weight[labels]).sum() / weight[labels].sum()


CE_CLASS_WEIGHTS = Trap(
    id="ce-class-weights",
    statement="With class weights PyTorch's mean divides by the sum of the WEIGHTS of the batch, "
    "not by its size.",
    severity="silent wrong result",
    symptoms="imbalanced classes, weighted cross entropy on another scale, loss depends on batch",
    pytorch=class_weights_pytorch,
    pytorch_gives=log(2.0),
    jax=class_weights_jax,
    jax_gives=2 * log(2.0),
    fix="(losses * weight[labels]).sum() / weight[labels].sum().",
    jax_fixed=class_weights_jax_fixed,
    source="pytorch/pytorch#40560; pytorch/pytorch#50528",
)


def ignored_pytorch() -> Tensor:
    return F.cross_entropy(torch.zeros(2, 3), torch.tensor([1, -100]))


def ignored_jax() -> Array:
    logits, labels = jnp.zeros((2, 3)), jnp.array([1, -100])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def ignored_jax_fixed() -> Array:
    logits, labels = jnp.zeros((2, 3)), jnp.array([1, -100])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.where(labels >= 0, losses, 0.0).sum() / (labels >= 0).sum()


CE_IGNORE_INDEX = Trap(
    id="ce-ignore-index",
    statement="Label -100 is skipped, and not counted, by PyTorch's cross entropy; for Optax it is "
    "an index out of range, and the loss is NaN.",
    severity="silent wrong result",
    symptoms="nan loss with padded labels, token classification, ignore_index",
    pytorch=ignored_pytorch,
    pytorch_gives=log(3.0),
    jax=ignored_jax,
    jax_gives=nan,
    fix="Mask the losses, and divide by the number of labels that count.",
    jax_fixed=ignored_jax_fixed,
    source=f"{CROSS_ENTROPY}; jax-ml/jax#14193",
)


def label_too_large_pytorch() -> Tensor:
    return F.cross_entropy(torch.zeros(1, 3), torch.tensor([3]))


def label_too_large_jax() -> Array:
    logits, labels = jnp.zeros((1, 3)), jnp.array([3])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def label_too_large_pytorch_fixed() -> Tensor:
    labels = torch.tensor([3]) - 1  # they counted from 1
    return F.cross_entropy(torch.zeros(1, 3), labels)


def label_too_large_jax_fixed() -> Array:
    logits, labels = jnp.zeros((1, 3)), jnp.array([3]) - 1  # they counted from 1
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


CE_LABEL_TOO_LARGE = Trap(
    id="ce-label-too-large",
    statement="A label that is no class raises in PyTorch and is a NaN loss in Optax.",
    severity="silent wrong result",
    symptoms="nan loss, labels counted from 1, Target out of bounds",
    pytorch=label_too_large_pytorch,
    pytorch_gives=Raises("IndexError", "out of bounds"),
    jax=label_too_large_jax,
    jax_gives=nan,
    fix="Check 0 <= label < classes once, when the data is read.",
    pytorch_fixed=label_too_large_pytorch_fixed,
    jax_fixed=label_too_large_jax_fixed,
    source="jax-ml/jax#14193",
)


def negative_label_pytorch() -> Tensor:
    logits = torch.tensor([[0.0, 0.0, log(2.0)]])
    return F.cross_entropy(logits, torch.tensor([-1]))


def negative_label_jax() -> Array:
    logits = jnp.array([[0.0, 0.0, log(2.0)]])
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([-1])).sum()


def negative_label_pytorch_fixed() -> Tensor:
    logits = torch.tensor([[0.0, 0.0, log(2.0)]])
    return F.cross_entropy(logits, torch.tensor([-1]), ignore_index=-1, reduction="sum")


def negative_label_jax_fixed() -> Array:
    logits, labels = jnp.array([[0.0, 0.0, log(2.0)]]), jnp.array([-1])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.where(labels >= 0, losses, 0.0).sum()


CE_NEGATIVE_LABEL = Trap(
    id="ce-negative-label",
    statement="Label -1, a usual mark for 'unknown', raises in PyTorch and silently means the LAST "
    "class in Optax.",
    severity="silent wrong result",
    symptoms="unlabelled examples trained as last class, semi-supervised, wrong index",
    pytorch=negative_label_pytorch,
    pytorch_gives=Raises("IndexError", "out of bounds"),
    jax=negative_label_jax,
    jax_gives=log(2.0),  # the probability of the last class is 2 / 4
    fix="Mask negative labels; in PyTorch name the mark: ignore_index=-1.",
    pytorch_fixed=negative_label_pytorch_fixed,
    jax_fixed=negative_label_jax_fixed,
    source=f"{CROSS_ENTROPY}; jax-ml/jax#14193",
)


def class_axis_pytorch() -> Tensor:
    logits = torch.tensor([[[0.0, log(3.0)], [0.0, 0.0]]])  # (batch, classes, length)
    return F.cross_entropy(logits, torch.tensor([[0, 0]]), reduction="none")


def class_axis_jax() -> Array:
    logits = jnp.array([[[0.0, log(3.0)], [0.0, 0.0]]])
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([[0, 0]]))


def class_axis_jax_fixed() -> Array:
    logits = jnp.array([[[0.0, log(3.0)], [0.0, 0.0]]])
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([[0, 0]]), axis=1)


CE_CLASS_AXIS = Trap(
    id="ce-class-axis",
    statement="The classes of sequences and images are axis 1 in PyTorch's cross entropy and the "
    "LAST axis in Optax's.",
    severity="silent wrong result",
    symptoms="segmentation or language model loss wrong, logits shape (batch, classes, length)",
    pytorch=class_axis_pytorch,
    pytorch_gives=[[log(2.0), log(4.0 / 3.0)]],  # columns (0, 0) and (log 3, 0)
    jax=class_axis_jax,
    jax_gives=[[log(4.0), log(2.0)]],  # rows (0, log 3) and (0, 0)
    fix="Pass axis=1 to Optax, or move the axis.",
    jax_fixed=class_axis_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="log and exp are other approximations",
    source=CROSS_ENTROPY,
)


def softmax_twice_pytorch() -> Tensor:
    logits = torch.tensor([[20.0, 0.0, 0.0]])
    return F.cross_entropy(F.softmax(logits, dim=-1), torch.tensor([0]))


def softmax_twice_jax() -> Array:
    probabilities = jax.nn.softmax(jnp.array([[20.0, 0.0, 0.0]]))
    labels = jnp.array([0])
    return optax.softmax_cross_entropy_with_integer_labels(probabilities, labels).mean()


def softmax_twice_pytorch_fixed() -> Tensor:
    return F.cross_entropy(torch.tensor([[40.0, 0.0, 0.0]]), torch.tensor([0]))


def softmax_twice_jax_fixed() -> Array:
    logits, labels = jnp.array([[40.0, 0.0, 0.0]]), jnp.array([0])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


CE_SOFTMAX_TWICE = Trap(
    id="ce-softmax-twice",
    statement="Both cross entropies apply softmax themselves: given probabilities, a perfect "
    "prediction still costs log(e + 2) - 1, and the gradients are small.",
    severity="silent wrong result",
    symptoms="loss stuck at 0.55 or 1.46, does not go to zero, slow learning, Keras from_logits",
    pytorch=softmax_twice_pytorch,
    pytorch_gives=log(e + 2.0) - 1.0,
    jax=softmax_twice_jax,
    jax_gives=log(e + 2.0) - 1.0,
    shared=True,
    fix="Give logits to the loss, and take softmax for reporting only.",
    pytorch_fixed=softmax_twice_pytorch_fixed,
    jax_fixed=softmax_twice_jax_fixed,
    source=f"{CROSS_ENTROPY}; {OPTAX}",
)
