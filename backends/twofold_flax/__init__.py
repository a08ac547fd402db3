"""The Flax/Optax backend: describes itself here without importing jax."""

from twofold.backends.departures import (
    BiasedRunningVariance,
    KnownDifference,
    RoundedCorrections,
)
from twofold.backends.description import Backend, CacheVariables, EngineDescription, NativeInit

BACKEND = Backend(
    name="flax",
    title="Flax",
    extra="flax",
    frameworks=("jax", "flax", "optax"),
    packages=("jax", "jaxlib", "flax", "optax"),
    place=1,
    engines=(
        EngineDescription("op-by-op", "no jit: every operation is dispatched on its own"),
        EngineDescription("nnx-jit", "as Flax teaches: nnx.Optimizer under nnx.jit"),
        EngineDescription("jit", "the whole step as one pure function under jax.jit"),
        EngineDescription("aot", "as jit, compiled ahead for the shapes of an epoch"),
        EngineDescription("scan", "an epoch on the device: the loop over batches is compiled"),
    ),
    opener="twofold_flax.engines:open_executor",
    prober="twofold_flax.device:probe",
    native_init=NativeInit("lecun_normal", "zeros"),
    seeds="twofold_flax.seeds:FlaxSeeds",
    cache_variables=CacheVariables(
        "JAX_COMPILATION_CACHE_DIR",  # unset there is no cache on disk (JAX 0.10)
        below="jax",
        keep=(
            ("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0"),
            ("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1"),
        ),
    ),
    quick_engines=(("jit",), ("scan",)),
    best_engines=("jit", "scan"),
    palette=("#0072B2", "#56B4E9", "#009E73", "#332288"),
    known_differences=(
        KnownDifference(
            departure=RoundedCorrections(),
            cause=(
                "Optax evaluates Adam's bias correction, 1 - beta^t, in the precision of the "
                "parameters; PyTorch evaluates it in float64"
            ),
            source="optax 0.2.8, optax/tree_utils/_tree_math.py: tree_bias_correction",
            consequence=(
                "largest at the first step, gone as beta^t goes to zero; far below what another "
                "seed changes, but larger than rounding"
            ),
        ),
        KnownDifference(
            departure=BiasedRunningVariance(),
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
