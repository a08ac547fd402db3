"""The Flax/Optax backend: describes itself here without importing jax."""

from twofold_jax import OPTAX_BIAS_CORRECTION

from twofold.engines.registry import Backend, EngineDescription, KnownDifference

BACKEND = Backend(
    name="flax",
    extra="flax",
    frameworks=("jax", "flax", "optax"),
    engines=(
        EngineDescription("op-by-op", "no jit: every operation is dispatched on its own"),
        EngineDescription("nnx-jit", "as Flax teaches: nnx.Optimizer under nnx.jit"),
        EngineDescription("jit", "the whole step as one pure function under jax.jit"),
        EngineDescription("aot", "as jit, compiled ahead for the shapes of an epoch"),
        EngineDescription("scan", "an epoch on the device: the loop over batches is compiled"),
    ),
    opener="twofold_flax.engines:open_executor",
    prober="twofold_flax.engines:probe",
    seeds="twofold_flax.engines:open_seeds",
    quick_engines=(("jit",), ("scan",)),
    known_differences=(
        OPTAX_BIAS_CORRECTION,
        KnownDifference(
            model="running variance of the biased variance",
            cause=(
                "Flax's batch norm averages the biased variance of the batches for evaluation, "
                "sum / n; PyTorch and the formula here average the unbiased one, sum / (n - 1)"
            ),
            source="flax 0.12.8, flax/nnx/nn/normalization.py: BatchNorm, _compute_stats",
            consequence=(
                "evaluation alone differs, by a factor of (n - 1) / n in the running variance for "
                "batches of n rows; neither framework has a switch for it"
            ),
        ),
    ),
)
