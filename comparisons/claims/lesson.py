"""The lesson's claims, numbered as there. A sentence that says two things is two claims."""

from __future__ import annotations

from typing import Final

from comparisons.claims.claim import Claim
from comparisons.claims.rules import engines, observed, timed

LESSON: Final = (
    Claim(
        id="float32-default",
        lesson=1,
        sentence="float32 is the right default: float64 is about twice as slow, takes twice the "
        "memory, and almost never gives a meaningfully better model.",
        source="the lesson",
        criterion="float64 takes 1.5 to 2.5 times as long in every case, twice the bytes, and "
        "gains less than 0.01 of test accuracy, with the whole interval over the seeds",
        studies=("float64 speed", "float64 quality"),
        rule=timed.float32_default,
    ),
    Claim(
        id="compile-speeds-up-on-gpus",
        lesson=2,
        sentence="torch.compile typically speeds training up 1.5 to 3 times on modern GPUs, and is "
        "close to free.",
        source="the lesson",
        criterion="on a GPU, a speed-up between 1.5 and 3 at every size; see compile-is-free",
        studies=("engines by size",),
        rule=engines.compile_on_gpu,
    ),
    Claim(
        id="first-iteration-slow",
        lesson=3,
        sentence="The first compiled iteration is slow.",
        source="the lesson",
        criterion="the first step takes as long as 100 later ones, in every compiled engine "
        "measured",
        studies=("engines by size",),
        rule=engines.first_step_slow,
    ),
    Claim(
        id="dynamic-shapes-rough",
        lesson=4,
        sentence="Dynamic shapes are still rough under torch.compile.",
        source="the lesson",
        criterion="more than one further compilation when the batch size changes again and again, "
        "and a model for any size that is more than 10 % slower than one for a fixed size",
        studies=("varying batch sizes",),
        rule=timed.dynamic_shapes_rough,
    ),
    Claim(
        id="jax-gains-on-tpus",
        lesson=5,
        sentence="JAX gains serious speed through XLA on TPUs.",
        source="the lesson",
        criterion="cannot be confirmed without a TPU",
        studies=(),
        rule=engines.needs_tpu,
    ),
    Claim(
        id="jax-gains-on-large-batches",
        lesson=5,
        sentence="JAX gains serious speed on huge batched workloads with static shapes.",
        source="the lesson",
        criterion="Flax's fastest engine beats PyTorch's at the largest batch, and by more "
        "than at the lesson's own, the network the same",
        studies=("engines by size",),
        rule=engines.jax_gains_on_large_batches,
        unjudged="The largest batch here is what a processor can handle, not huge.",
    ),
    Claim(
        id="functional-less-ergonomic",
        lesson=6,
        sentence="The functional, compile-first style is less ergonomic for code with dynamic "
        "control flow.",
        source="the lesson",
        criterion="fewer of the functions run unchanged under jax.jit than in eager PyTorch",
        studies=("Python control flow",),
        rule=observed.functional_is_less_ergonomic,
        unjudged="What is pleasant to write is not measured, only what runs as it was written.",
    ),
    Claim(
        id="feels-like-python",
        lesson=7,
        sentence="PyTorch feels like Python: one can loop, branch and print anywhere in the model.",
        source="the lesson",
        criterion="all functions run unchanged in eager PyTorch, and a print shows the value",
        studies=("Python control flow",),
        rule=observed.feels_like_python,
    ),
    Claim(
        id="adam-robust",
        lesson=8,
        sentence="AdamW and Adam are robust to the learning rate; SGD with momentum is for vision.",
        source="the lesson",
        criterion="the range of learning rates within 0.02 of the optimizer's own best accuracy "
        "is wider, in powers of ten, than that of SGD with momentum",
        studies=("learning rates",),
        rule=observed.adam_is_robust,
        unjudged="Convolutional networks on photographs, for which SGD is recommended, are not "
        "trained here.",
    ),
    Claim(
        id="loader-workers-faster",
        lesson=9,
        sentence="More loader workers and pinned memory make feeding faster.",
        source="the lesson",
        criterion="an epoch with 2 workers is faster than without, whatever a row costs",
        studies=("feeding",),
        rule=timed.workers_faster,
        unjudged="Pinned memory speeds up copies to a GPU; it is not tested here.",
    ),
    Claim(
        id="gradients-accumulate",
        lesson=10,
        sentence="Gradients accumulate unless zeroed, and that is both a footgun and a feature.",
        source="the lesson",
        criterion="a second backward pass doubles the gradient; gradients of micro-batches add up "
        "to those of the large batch within 1e-12",
        studies=("gradient accumulation",),
        rule=observed.gradients_accumulate,
    ),
    Claim(
        id="forgetting-to-move-is-an-error",
        lesson=11,
        sentence="Forgetting to move the model or the data to the device is the most common error, "
        "and it is an error, not a silent wrong result.",
        source="the lesson",
        criterion="every mix of operands on two devices raises an error",
        studies=("operands on two devices",),
        rule=observed.forgetting_to_move_is_an_error,
        unjudged="Which error people make most often is not measured.",
    ),
    Claim(
        id="sequential-is-module",
        lesson=12,
        sentence="nn.Sequential and nn.Module are the same thing for simple stacks: same numbers, "
        "same speed.",
        source="the lesson",
        criterion="equal bits after 20 steps, and step times that differ by less than 5 %",
        studies=("sequential",),
        rule=timed.sequential_is_module,
    ),
    Claim(
        id="softmax-twice",
        lesson=13,
        sentence="Softmax applied in the model and again in the loss is a bug: it trains, worse.",
        source="the lesson",
        criterion="better than a constant answer, and less accurate than with logits, with the "
        "whole interval over the seeds, after every number of epochs",
        studies=("softmax twice",),
        rule=observed.softmax_twice_is_worse,
    ),
    Claim(
        id="dropout-in-training-only",
        lesson=14,
        sentence="Dropout acts in training only.",
        source="the lesson",
        criterion="it drops in training and is the identity in evaluation, in both frameworks",
        studies=("dropout modes",),
        rule=observed.dropout_in_training_only,
    ),
    Claim(
        id="easy-at-some-cost",
        lesson=15,
        sentence="Make the easy thing easy even at some cost in speed, and people will choose it.",
        source="the lesson",
        criterion="eager mode does cost speed: a compiled PyTorch engine is faster at every size",
        studies=("engines by size",),
        rule=engines.eager_costs,
        unjudged="What people choose is not measured.",
    ),
)
