"""Every operation of a JAX run that depends on the batch, while the program runs uncompiled."""

from __future__ import annotations

from typing import Any, Final, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

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
            constants=[float(value) for value in args if _is_plain_number(value)],
        )


def constants_of(jaxpr: Any) -> tuple[float, ...]:
    """Every plain number in a program, and in the programs inside it."""
    found: dict[float, None] = {}
    for equation in jaxpr.eqns:
        for variable in equation.invars:
            value = getattr(variable, "val", None) if isinstance(variable, core.Literal) else None
            if value is not None and np.ndim(value) == 0:
                found[float(value)] = None
        for inner in jax.tree_util.tree_leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                found |= dict.fromkeys(constants_of(getattr(inner, "jaxpr", inner)))
    return tuple(found)


def _is_program(value: Any) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)


def _has_numbers(value: Any) -> bool:
    """Whether a value is an array outside any trace, and no key of random numbers."""
    return (
        isinstance(value, jax.Array)
        and not isinstance(value, jax.core.Tracer)
        and not jnp.issubdtype(value.dtype, jax.dtypes.extended)
    )


def _is_plain_number(value: Any) -> bool:
    return (
        np.ndim(value) == 0
        and not isinstance(value, jax.core.Tracer)
        and (_has_numbers(value) or isinstance(value, int | float | np.generic | np.ndarray))
        and jnp.issubdtype(jnp.result_type(value), jnp.floating)
    )


def _numbers(value: Any) -> Array:
    is_float = jnp.issubdtype(value.dtype, jnp.floating)
    return np.asarray(value, np.float64) if is_float else np.asarray(value)
