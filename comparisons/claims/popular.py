"""Sentences that are often heard about the two frameworks, and about speed."""

from __future__ import annotations

from typing import Final

from comparisons.claims.claim import Claim
from comparisons.claims.rules import engines, observed, timed

POPULAR: Final = (
    Claim(
        id="jax-faster",
        sentence="JAX is faster than PyTorch.",
        source="popular",
        criterion="Flax's fastest engine is faster than PyTorch's fastest at every size; undecided "
        "where an engine was not measured that has been its framework's fastest elsewhere",
        studies=("engines by size",),
        rule=engines.jax_faster,
    ),
    Claim(
        id="jit-beats-eager",
        sentence="A jitted JAX step is faster than an eager PyTorch step.",
        source="popular",
        criterion="flax:jit is faster than torch:eager at every size",
        studies=("engines by size",),
        rule=engines.jax_jit_beats_eager,
    ),
    Claim(
        id="compile-is-free",
        sentence="Compiling is free: one line, and everything is faster.",
        source="popular",
        criterion="within the lesson's 1,570 steps every compiled PyTorch engine measured has "
        "saved the time that compiling took, at every size",
        studies=("engines by size",),
        rule=engines.compile_is_free,
    ),
    Claim(
        id="same-numbers",
        sentence="PyTorch and JAX give the same numbers.",
        source="popular",
        criterion="parameters equal bit for bit after every number of steps",
        studies=("same numbers",),
        rule=observed.frameworks_give_same_numbers,
    ),
    Claim(
        id="same-seed-same-numbers",
        sentence="The same seed gives the same random numbers in both.",
        source="popular",
        criterion="all uniform numbers from the seed 0 are equal",
        studies=("same seed",),
        rule=observed.same_seed_same_numbers,
    ),
    Claim(
        id="a-seed-repeats-a-run",
        sentence="With the seed fixed, a run can be repeated exactly.",
        source="popular",
        criterion="a second run in the same engine ends in the same bits, in both frameworks",
        studies=("repeated run",),
        rule=observed.runs_repeat,
    ),
    Claim(
        id="dataloader-fast-enough",
        sentence="The DataLoader is fast enough.",
        source="popular",
        criterion="an epoch takes at most 10 % longer than with batches taken by index, at every "
        "size",
        studies=("feeding share",),
        rule=timed.loader_fast_enough,
    ),
    Claim(
        id="jit-removes-all-overhead",
        sentence="jit removes all overhead.",
        source="popular",
        criterion="calling a jitted function with as many arrays takes at most 5 % of a step, at "
        "every size",
        studies=("jit dispatch",),
        rule=timed.jit_removes_overhead,
    ),
    Claim(
        id="small-models-need-no-compiler",
        sentence="Small models do not need a compiler.",
        source="popular",
        criterion="at the two smallest sizes no compiled engine is 1.5 times as fast as eager "
        "PyTorch",
        studies=("engines by size",),
        rule=engines.small_needs_no_compiler,
    ),
    Claim(
        id="float64-twice-as-slow",
        sentence="float64 is twice as slow.",
        source="popular",
        criterion="1.5 to 2.5 times as long as float32, for every engine and size",
        studies=("float64 speed",),
        rule=timed.twice_as_slow,
    ),
    Claim(
        id="eager-for-prototypes",
        sentence="Eager is fine for prototyping.",
        source="popular",
        criterion="start and 100 steps of torch:eager end at most one second after those of the "
        "quickest other engine measured, at every size",
        studies=("engines by size",),
        rule=engines.eager_for_prototypes,
    ),
    Claim(
        id="larger-batches-pay",
        sentence="Larger batches use the machine better.",
        source="popular",
        criterion="eager PyTorch needs less time for a row than with the next smaller batch, at "
        "every batch size",
        studies=("batch sizes",),
        rule=timed.larger_batches,
    ),
    Claim(
        id="more-threads-are-faster",
        sentence="More threads are faster.",
        source="popular",
        criterion="eager PyTorch with all threads is faster than with one, at every size",
        studies=("threads",),
        rule=timed.threads_faster,
    ),
    Claim(
        id="fused-optimizer-faster",
        sentence="The fused optimizer is faster.",
        source="popular",
        criterion="a step with AdamW(fused=True) is faster than with the default, at every size",
        studies=("fused optimizer",),
        rule=timed.fused_faster,
    ),
    Claim(
        id="no-gradients-faster",
        sentence="Inference is faster without recording gradients.",
        source="popular",
        criterion="a forward pass under inference_mode is faster, at every number of rows",
        studies=("inference without gradients",),
        rule=timed.without_gradients_faster,
    ),
    Claim(
        id="in-place-faster",
        sentence="In-place operations are faster.",
        source="popular",
        criterion="x.add_(y) is faster than x + y, at every length",
        studies=("in place",),
        rule=timed.in_place_faster,
    ),
    Claim(
        id="frameworks-beat-numpy",
        sentence="A framework is faster than NumPy.",
        source="popular",
        criterion="the forward pass is faster than NumPy's in both, at every number of rows",
        studies=("NumPy forward",),
        rule=timed.framework_beats_numpy,
    ),
    Claim(
        id="gpu-always-faster",
        sentence="A GPU is always faster than a processor.",
        source="popular",
        criterion="cannot be confirmed without a GPU",
        studies=(),
        rule=engines.needs_gpu,
    ),
)
