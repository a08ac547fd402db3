"""What backends of JAX share, whatever library builds their model; no backend itself.

It knows JAX and Optax. Such a library gives a `twofold_jax.model.Model`; everything that trains it,
from the loss to the executor, is here.
"""

from typing import Final

from twofold.engines.registry import KnownDifference

OPTAX_BIAS_CORRECTION: Final = KnownDifference(
    model="bias correction in the engine's precision",
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
