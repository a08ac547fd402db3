"""What backends of JAX share, whatever library builds their model; no backend itself.

It knows JAX and Optax. Such a library gives a `twofold_jax.model.Model`; everything that trains it,
from the loss to the executor, is here.
"""

from typing import Final

from twofold.backends.departures import KnownDifference, RoundedCorrections
from twofold.backends.description import CacheVariables

PACKAGES: Final = ("jax", "jaxlib", "optax")
COMPILE_CACHE: Final = CacheVariables(
    "JAX_COMPILATION_CACHE_DIR",  # unset there is no cache on disk (JAX 0.10)
    below="jax",
    keep=(
        ("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0"),
        ("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1"),
    ),
)
OPTAX_BIAS_CORRECTION: Final = KnownDifference(
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
)
