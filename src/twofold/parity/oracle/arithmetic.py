"""The arithmetic under judgement, and the wider one that judges it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twofold.spec.experiment import PARAMETER_DTYPES, Precision

# Largest errors, in units in the last place, that an engine's elementary functions may have:
# about twice those of PyTorch 2.13 (eager and compiled) and JAX 0.10 (op by op and jit) on a CPU,
# which stand beside them. tests/parity/oracle/test_elementary_functions.py measures them.
EXP_ULPS: Final = 4  # 1.6, JAX float64
EXPM1_ULPS: Final = 10  # 5.2, JAX float32
EXPM1_ULPS_OF_ONE: Final = 4  # 0.44, compiled PyTorch: absolute, for it takes exp(x) - 1
LOG_ULPS: Final = 4  # 1.2, JAX float32
LOG1P_ULPS: Final = 4  # 2.3, JAX float32
TANH_ULPS: Final = 14  # 7.3, JAX float64 near one; 4.6 in float32
ERF_ULPS: Final = 8  # 4.4, compiled PyTorch float32; of erf and erfc absolute, in ulps of one
SIGMOID_ULPS: Final = 8  # 2.4, all
RSQRT_ULPS: Final = 4  # 1.5, compiled PyTorch

# Beyond these arguments every engine's tanh is exactly +-1 (measured by the same test).
TANH_SATURATES: Final = {"float32": 10.0, "float64": 20.0, "mixed_bfloat16": 10.0}

# The oracle's own results are within this many of its units roundoff; it counts them as the
# engine's, so that the bound covers both.
ORACLE_SLACK: Final = 16

# bfloat16 has 8 bits of significand, the hidden one included: rounding to nearest is off by 2^-8 of
# the result at most.
BFLOAT16_ROUNDOFF: Final = 2.0**-8
BFLOAT16_LARGEST: Final = float(2.0**128 - 2.0**120)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FunctionUlps:
    """Largest errors of the functions in hidden layers, in units in the last place."""

    exp: float = EXP_ULPS
    expm1: float = EXPM1_ULPS
    expm1_of_one: float = EXPM1_ULPS_OF_ONE
    tanh: float = TANH_ULPS
    erf: float = ERF_ULPS
    sigmoid: float = SIGMOID_ULPS


# In bfloat16 both frameworks evaluate a function in float32 and round once (0.50 measured), but for
# JAX's sigmoid: XLA rounds exponential, sum and quotient (2.04).
# tests/parity/oracle/test_mixed_functions.py tries every bfloat16 number.
BFLOAT16_ULPS: Final = FunctionUlps(
    exp=0.75, expm1=0.75, expm1_of_one=2.0**-12, tanh=0.75, erf=0.75, sigmoid=2.5
)


@dataclass(frozen=True)
class Arithmetic:
    """Precision of the engine under judgement and of the oracle.

    In mixed precision these are the parameters' and the loss's; `layers` is the arithmetic of what
    hidden layers compute element by element, and `stored_roundoff` that of writing a number down.

    `unit_roundoff` is that of both together: an engine's error is at most B(u_engine), the
    oracle's at most B(u_oracle), and B is superlinear, so B(u_engine + u_oracle) covers the
    difference of the two. Results below `smallest_normal` may be flushed to zero: XLA on the CPU
    does so, PyTorch does not.

    `processes` is the number of processes each of which takes the mean over a part of a batch.
    """

    precision: Precision
    dtype: np.dtype[Any]
    oracle_dtype: np.dtype[Any]
    unit_roundoff: float
    smallest_normal: float
    largest: float
    ulps: FunctionUlps = FunctionUlps()
    stored_roundoff: float = 0.0
    processes: int = 1

    @property
    def layers(self) -> Arithmetic:
        """What layers compute in element by element: this arithmetic itself, or bfloat16."""
        if self.stored_roundoff == 0.0:
            return self
        return replace(
            self,
            unit_roundoff=self.stored_roundoff,
            largest=BFLOAT16_LARGEST,
            ulps=BFLOAT16_ULPS,
            stored_roundoff=0.0,
        )

    def gamma(self, roundings: float) -> float:
        """Higham's gamma_n = n u / (1 - n u): n roundings in a row, whatever their signs.

        With n u >= 1 nothing is known and the bound is infinite.
        """
        error = roundings * self.unit_roundoff
        return error / (1.0 - error) if error < 1.0 else np.inf

    def sum_error(self, additions: int) -> float:
        """n u: n additions in any order, in round to nearest, however many they are.

        Jeannerod and Rump, *Improved error bounds for inner products in floating-point
        arithmetic*, SIAM J. Matrix Anal. Appl. 34 (2013).
        """
        return additions * self.unit_roundoff


def arithmetic_for(precision: Precision, processes: int = 1) -> Arithmetic:
    """Float64 judges float32 and mixed precision; NumPy's longdouble judges float64.

    Longdouble has 64 bits of mantissa on x86 and 113 on most others; where it is no wider than
    float64 (Windows, macOS on ARM) the bound widens to cover the oracle's own errors.
    """
    judged_type = PARAMETER_DTYPES[precision]
    oracle_type = np.float64 if judged_type == "float32" else np.longdouble
    judged, judge = np.finfo(judged_type), np.finfo(oracle_type)
    oracle_error = ORACLE_SLACK * float(judge.eps) / 2
    return Arithmetic(
        precision=precision,
        dtype=np.dtype(judged_type),
        oracle_dtype=np.dtype(oracle_type),
        unit_roundoff=float(judged.eps) / 2 + oracle_error,
        smallest_normal=float(judged.smallest_normal),
        largest=float(judged.max),
        stored_roundoff=BFLOAT16_ROUNDOFF if precision == "mixed_bfloat16" else 0.0,
        processes=processes,
    )
