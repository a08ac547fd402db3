"""Every operation of a JAX run that depends on the batch, while the program runs uncompiled."""

from __future__ import annotations

from typing import Any, Final, final

import jax
import jax.numpy as jnp
import numpy as np

from twofold.port.calling import own_line
from twofold.port.side import Array
from twofold.port.where.operations import Recorder

MOVES: Final = frozenset(
    (
        *("reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "rev"),
        *("dynamic_slice", "concatenate", "convert_element_type", "copy", "copy_p", "split"),
        *("stop_gradient", "reduce_precision", "optimization_barrier", "pad"),
    )
)


@final
class Operations:
    """What `Watch` tells of each primitive as it runs; `running` are the modules around it."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.running: list[str] = []

    def ran(self, name: str, args: tuple[Any, ...], results: Any) -> None:
        """One primitive with its operands and results."""
        outputs = results if isinstance(results, list | tuple) else [results]
        self.recorder.add(
            name,
            args,
            [value for value in outputs if _has_numbers(value)],
            line=own_line,
            module=self.running[-1] if self.running else "",
            moves=name in MOVES,
            numbers=_numbers,
        )


def _has_numbers(value: Any) -> bool:
    """Whether a value is an array outside any trace, and no key of random numbers."""
    return (
        isinstance(value, jax.Array)
        and not isinstance(value, jax.core.Tracer)
        and not jnp.issubdtype(value.dtype, jax.dtypes.extended)
    )


def _numbers(value: Any) -> Array:
    is_float = jnp.issubdtype(value.dtype, jnp.floating)
    return np.asarray(value, np.float64) if is_float else np.asarray(value)
