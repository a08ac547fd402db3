"""The Flax/Optax backend: describes itself here without importing jax."""

from twofold_jax import COMPILE_CACHE, OPTAX_BIAS_CORRECTION, PACKAGES

from twofold.backends.departures import BiasedRunningVariance, KnownDifference
from twofold.backends.description import (
    Backend,
    EngineDescription,
    ExportFormat,
    NativeInit,
    PortSide,
)

BACKEND = Backend(
    name="flax",
    title="Flax",
    extra="flax",
    frameworks=("jax", "flax", "optax"),
    packages=(*PACKAGES, "flax"),
    place=1,
    engines=(
        EngineDescription(
            "op-by-op", "no jit: every operation is dispatched on its own", from_map=True
        ),
        EngineDescription("nnx-jit", "as Flax teaches: nnx.Optimizer under nnx.jit", from_map=True),
        EngineDescription(
            "jit", "the whole step as one pure function under jax.jit", from_map=True
        ),
        EngineDescription("aot", "as jit, compiled ahead for the shapes of an epoch"),
        EngineDescription(
            "scan", "an epoch on the device: the loop over batches is compiled", from_map=True
        ),
        EngineDescription(
            "sharded", "as jit, on a mesh of devices: processes share each batch", processes=True
        ),
        EngineDescription(
            "sharded-weights", "as sharded, and parameters and slots lie in parts", processes=True
        ),
    ),
    opener="twofold_flax.engines:open_executor",
    prober="twofold_flax.engines:probe",
    native_init=NativeInit("lecun_normal", "zeros"),
    seeds="twofold_flax.engines:open_seeds",
    chooser="twofold_jax.default_engine:default_engine",
    exports=(
        ExportFormat(
            "jax-export",
            ".jaxexport",
            writer="twofold_flax.engines:export",
            reader="twofold_jax.export:read",
            modules=("flatbuffers",),
        ),
    ),
    port_sides=(
        PortSide("Nnx", "twofold_flax.port.nnx:Nnx", "flax.nnx"),
        PortSide("Linen", "twofold_flax.port.linen:Linen", "flax.linen", with_weights=True),
        PortSide("Function", "twofold_jax.port.function:Function", with_weights=True),
    ),
    port_steps="twofold_jax.port.black_box:black_box",
    port_tensors=("jax", "jaxlib"),
    cache_variables=COMPILE_CACHE,
    quick_engines=(("jit",), ("scan",)),
    best_engines=("jit", "scan"),
    palette=("#0072B2", "#56B4E9", "#009E73", "#332288"),
    known_differences=(
        OPTAX_BIAS_CORRECTION,
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
