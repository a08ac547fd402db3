"""Losses of classes: labels, weights, reductions, and probabilities taken for logits."""

from __future__ import annotations

from math import e, inf, log, nan

import jax
import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.traps.trap import Raises, Trap, Warns

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


def bce_input_pytorch() -> Tensor:
    return F.binary_cross_entropy(torch.tensor([0.5]), torch.tensor([1.0]))


def bce_input_jax() -> Array:
    return optax.sigmoid_binary_cross_entropy(jnp.array([0.5]), jnp.array([1.0])).mean()


def bce_input_pytorch_fixed() -> Tensor:
    return F.binary_cross_entropy_with_logits(torch.tensor([0.0]), torch.tensor([1.0]))


def bce_input_jax_fixed() -> Array:
    return optax.sigmoid_binary_cross_entropy(jnp.array([0.0]), jnp.array([1.0])).mean()


BCE_PROBABILITIES_OR_LOGITS = Trap(
    id="bce-probabilities-or-logits",
    statement="F.binary_cross_entropy takes probabilities, optax.sigmoid_binary_cross_entropy "
    "takes logits, and numbers between 0 and 1 suit both.",
    severity="silent wrong result",
    symptoms="binary loss does not fall below 0.31, sigmoid applied twice, BCELoss port",
    pytorch=bce_input_pytorch,
    pytorch_gives=log(2.0),
    jax=bce_input_jax,
    jax_gives=log(1.0 + e**-0.5),
    fix="Give logits to both: F.binary_cross_entropy_with_logits.",
    pytorch_fixed=bce_input_pytorch_fixed,
    jax_fixed=bce_input_jax_fixed,
    source=f"{OPTAX}; https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html",
)


def bce_certain_pytorch() -> Tensor:
    return F.binary_cross_entropy(torch.tensor([0.0]), torch.tensor([1.0]))


def bce_certain_jax() -> Array:
    p, y = jnp.array([0.0]), jnp.array([1.0])
    return -(y * jnp.log(p) + (1.0 - y) * jnp.log1p(-p)).mean()


def bce_certain_jax_fixed() -> Array:
    p, y = jnp.array([0.0]), jnp.array([1.0])
    log_p, log_not_p = jnp.maximum(jnp.log(p), -100.0), jnp.maximum(jnp.log1p(-p), -100.0)
    return -(y * log_p + (1.0 - y) * log_not_p).mean()


BCE_LOG_CLAMP = Trap(
    id="bce-log-clamp",
    statement="nn.BCELoss never takes a logarithm below -100, so a certain and wrong prediction "
    "costs 100; the formula written out in JAX gives infinity.",
    severity="silent wrong result",
    symptoms="inf loss or nan in GAN discriminator, binary cross entropy log(0)",
    pytorch=bce_certain_pytorch,
    pytorch_gives=100.0,
    jax=bce_certain_jax,
    jax_gives=inf,
    fix="Better, use logits on both sides; else clamp the logarithms at -100.",
    jax_fixed=bce_certain_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html",
)


def bce_shapes_pytorch() -> Tensor:
    logits, targets = torch.zeros(2, 1), torch.ones(2)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def bce_shapes_jax() -> Array:
    return optax.sigmoid_binary_cross_entropy(jnp.zeros((2, 1)), jnp.ones(2))


def bce_shapes_pytorch_fixed() -> Tensor:
    logits, targets = torch.zeros(2, 1), torch.ones(2)
    return F.binary_cross_entropy_with_logits(logits[:, 0], targets, reduction="none")


def bce_shapes_jax_fixed() -> Array:
    return optax.sigmoid_binary_cross_entropy(jnp.zeros((2, 1))[:, 0], jnp.ones(2))


BCE_SHAPES = Trap(
    id="bce-shapes",
    statement="Logits (n, 1) with targets (n,) raise in PyTorch; Optax broadcasts them and pairs "
    "every prediction with every target.",
    severity="silent wrong result",
    symptoms="model predicts the mean, binary classifier stuck at base rate, loss shape (n, n)",
    pytorch=bce_shapes_pytorch,
    pytorch_gives=Raises("ValueError", "must be the same as input size"),
    jax=bce_shapes_jax,
    jax_gives=[[log(2.0), log(2.0)], [log(2.0), log(2.0)]],
    fix="Remove the last axis of the logits, and assert that the shapes are equal.",
    pytorch_fixed=bce_shapes_pytorch_fixed,
    jax_fixed=bce_shapes_jax_fixed,
    source=OPTAX,
)


def kl_pytorch() -> Tensor:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    return F.kl_div(q.log(), p)


def kl_jax() -> Array:
    q, p = jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 0.0]])
    return optax.kl_divergence(jnp.log(q), p).mean()


def kl_pytorch_fixed() -> Tensor:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    return F.kl_div(q.log(), p, reduction="batchmean")


KL_DIV_MEAN = Trap(
    id="kl-div-mean",
    statement="F.kl_div's default divides by the number of ELEMENTS, which is no divergence; "
    "optax.kl_divergence sums over the classes of each example.",
    severity="silent wrong result",
    symptoms="distillation or VAE loss too small by the number of classes, batchmean",
    pytorch=kl_pytorch,
    pytorch_gives=Warns("reduction: 'mean' divides the total loss", log(2.0) / 2),
    jax=kl_jax,
    jax_gives=log(2.0),
    fix="reduction='batchmean' in PyTorch.",
    pytorch_fixed=kl_pytorch_fixed,
    source="pytorch/pytorch#57459; pytorch/pytorch#2259",
)


def kl_log_pytorch() -> Tensor:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
    return F.kl_div(q.log(), p.log(), reduction="batchmean")


def kl_log_jax() -> Array:
    q, p = jnp.array([[0.5, 0.5]]), jnp.array([[0.25, 0.75]])
    return optax.losses.kl_divergence_with_log_targets(jnp.log(q), jnp.log(p)).mean()


def kl_log_pytorch_fixed() -> Tensor:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
    return F.kl_div(q.log(), p.log(), reduction="batchmean", log_target=True)


KL_DIV_LOG_TARGET = Trap(
    id="kl-div-log-target",
    statement="F.kl_div takes log-probabilities for the prediction but PROBABILITIES for the "
    "target; Optax has a function of its own for log targets.",
    severity="silent wrong result",
    symptoms="nan loss in distillation with log_softmax teacher, negative target, log_target",
    pytorch=kl_log_pytorch,
    pytorch_gives=nan,  # logarithm of a negative target
    jax=kl_log_jax,
    jax_gives=0.25 * log(0.5) + 0.75 * log(1.5),
    fix="log_target=True.",
    pytorch_fixed=kl_log_pytorch_fixed,
    fix_tolerance=1e-5,
    fix_tolerance_reason="a difference of logarithms: cancellation magnifies their rounding",
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.kl_div.html",
)


def hinge_pytorch() -> Tensor:
    scores, labels = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([0])
    return F.multi_margin_loss(scores, labels)


def hinge_jax() -> Array:
    scores, labels = jnp.array([[1.0, 2.0, 2.0]]), jnp.array([0])
    return optax.losses.multiclass_hinge_loss(scores, labels).mean()


def hinge_jax_fixed() -> Array:
    scores, labels = jnp.array([[1.0, 2.0, 2.0]]), jnp.array([0])
    true = jnp.take_along_axis(scores, labels[:, None], axis=1)
    margins = jnp.maximum(1.0 - true + scores, 0.0) * (1 - jax.nn.one_hot(labels, 3))
    return margins.mean()


HINGE_MULTICLASS = Trap(
    id="hinge-multiclass",
    statement="The multiclass hinge sums over ALL wrong classes and divides by their number plus "
    "one in PyTorch; Optax takes the worst wrong class only.",
    severity="silent wrong result",
    symptoms="SVM loss differs, MultiMarginLoss, Crammer-Singer, Weston-Watkins",
    pytorch=hinge_pytorch,
    pytorch_gives=4.0 / 3.0,  # (2 + 2) / 3 classes
    jax=hinge_jax,
    jax_gives=2.0,
    fix="Write PyTorch's sum out; neither has the other's loss.",
    jax_fixed=hinge_jax_fixed,
    source=f"https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html; {OPTAX}",
)


def hinge_embedding_pytorch() -> Tensor:
    return F.hinge_embedding_loss(torch.tensor([3.0]), torch.tensor([1.0]))


def hinge_embedding_jax() -> Array:
    return optax.hinge_loss(jnp.array([3.0]), jnp.array([1.0])).mean()


def hinge_embedding_pytorch_fixed() -> Tensor:
    return torch.relu(1.0 - torch.tensor([1.0]) * torch.tensor([3.0])).mean()


HINGE_EMBEDDING = Trap(
    id="hinge-embedding",
    statement="nn.HingeEmbeddingLoss is not the hinge loss: for target 1 it IS its input, a "
    "distance. optax.hinge_loss is max(0, 1 - y x).",
    severity="silent wrong result",
    symptoms="SVM in PyTorch learns the wrong way, correct predictions cost more",
    pytorch=hinge_embedding_pytorch,
    pytorch_gives=3.0,
    jax=hinge_embedding_jax,
    jax_gives=0.0,
    fix="Write relu(1 - y * x) in PyTorch.",
    pytorch_fixed=hinge_embedding_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html",
)


def ctc_mean_pytorch() -> Tensor:
    log_probs = torch.zeros(2, 1, 3).log_softmax(-1)  # (length, batch, classes)
    return F.ctc_loss(log_probs, torch.tensor([[1, 2]]), torch.tensor([2]), torch.tensor([2]))


def ctc_mean_jax() -> Array:
    logits, targets = jnp.zeros((1, 2, 3)), jnp.array([[1, 2]])
    return optax.ctc_loss(logits, jnp.zeros((1, 2)), targets, jnp.zeros((1, 2))).mean()


def ctc_mean_jax_fixed() -> Array:
    logits, targets, lengths = jnp.zeros((1, 2, 3)), jnp.array([[1, 2]]), jnp.array([2])
    losses = optax.ctc_loss(logits, jnp.zeros((1, 2)), targets, jnp.zeros((1, 2)))
    return (losses / lengths).mean()


CTC_MEAN = Trap(
    id="ctc-mean",
    statement="PyTorch's CTC loss divides each example by the length of its target before it "
    "averages; Optax's does not.",
    severity="silent wrong result",
    symptoms="speech recognition loss larger than reference, long transcripts dominate",
    pytorch=ctc_mean_pytorch,
    pytorch_gives=log(3.0),  # one path of two steps, probability 1/9, length 2
    jax=ctc_mean_jax,
    jax_gives=2 * log(3.0),
    fix="Divide by the target lengths, or use reduction='sum' in PyTorch.",
    jax_fixed=ctc_mean_jax_fixed,
    source=f"https://docs.pytorch.org/docs/stable/generated/torch.nn.CTCLoss.html; {OPTAX}",
)


def ctc_impossible_pytorch() -> Tensor:
    log_probs = torch.zeros(1, 1, 3).log_softmax(-1)  # one step for two symbols
    return F.ctc_loss(log_probs, torch.tensor([[1, 2]]), torch.tensor([1]), torch.tensor([2]))


def ctc_impossible_jax() -> bool:
    logits, targets = jnp.zeros((1, 1, 3)), jnp.array([[1, 2]])
    loss = optax.ctc_loss(logits, jnp.zeros((1, 1)), targets, jnp.zeros((1, 2))).mean()
    return bool(jnp.isfinite(loss))


def ctc_impossible_pytorch_fixed() -> bool:
    log_probs = torch.zeros(1, 1, 3).log_softmax(-1)
    sizes = torch.tensor([1]), torch.tensor([2])
    loss = F.ctc_loss(log_probs, torch.tensor([[1, 2]]), *sizes, zero_infinity=True)
    return bool(loss.isfinite())


CTC_IMPOSSIBLE = Trap(
    id="ctc-impossible",
    statement="A target longer than its input costs infinity in PyTorch, and about 100,000 in "
    "Optax, whose log(0) is -1e5.",
    severity="silent wrong result",
    symptoms="inf CTC loss, loss of 1e5, speech recognition, utterance too short",
    pytorch=ctc_impossible_pytorch,
    pytorch_gives=inf,
    jax=ctc_impossible_jax,
    jax_gives=True,  # finite
    fix="Drop such examples; zero_infinity=True in PyTorch keeps the loss finite.",
    pytorch_fixed=ctc_impossible_pytorch_fixed,
    source=f"https://docs.pytorch.org/docs/stable/generated/torch.nn.CTCLoss.html; {OPTAX}",
)
