"""The Equinox backend: describes itself here without importing jax.

It builds models with Equinox's own layers; what trains them is `twofold_jax`.
"""

from twofold_jax import COMPILE_CACHE, OPTAX_BIAS_CORRECTION, PACKAGES

from twofold.backends.description import (
    Backend,
    EngineDescription,
    ExportFormat,
    PortSide,
    RefusedLayer,
)
from twofold.spec.layers.batch_norm import BatchNorm

BACKEND = Backend(
    name="equinox",
    title="Equinox",
    extra="equinox",
    frameworks=("jax", "equinox", "optax"),
    packages=(*PACKAGES, "equinox"),
    optional=True,
    place=2,
    engines=(
        EngineDescription(
            "jit", "the whole step as one pure function under jax.jit", from_map=True
        ),
        EngineDescription(
            "scan", "an epoch on the device: the loop over batches is compiled", from_map=True
        ),
    ),
    opener="twofold_equinox.engines:open_executor",
    prober="twofold_equinox.engines:probe",
    seeds="twofold_equinox.engines:open_seeds",
    chooser="twofold_jax.default_engine:default_engine",
    exports=(
        ExportFormat(
            "jax-export",
            ".jaxexport",
            writer="twofold_equinox.engines:export",
            reader="twofold_jax.export:read",
            modules=("flatbuffers",),
        ),
    ),
    port_sides=(PortSide("Equinox", "twofold_equinox.port.equinox_module:Equinox", "equinox"),),
    cache_variables=COMPILE_CACHE,
    palette=("#882255", "#AA4499"),
    refused_layers=(
        RefusedLayer(
            BatchNorm,
            "model: batch_norm given; the backend equinox has none that computes the same: "
            'eqx.nn.BatchNorm(mode="batch") divides its running statistics by 1 - momentum^steps '
            'in evaluation, and mode="ema" normalizes by them in training as well (Equinox 0.13.8, '
            "equinox/nn/_batch_norm.py); use layer_norm, or an engine of another backend",
        ),
    ),
    known_differences=(OPTAX_BIAS_CORRECTION,),
)
