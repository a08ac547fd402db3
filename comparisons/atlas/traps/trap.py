"""The value that describes one trap, and what its two sides may be expected to give.

A theme is a module of this package, or a package of modules; every `Trap` at a module's top level
belongs to it. Inside, four small functions are enough:

    def gelu_pytorch() -> Tensor:
        return F.gelu(torch.tensor([1.0]))

    def gelu_jax() -> Array:
        return jax.nn.gelu(jnp.array([1.0]))

    def gelu_jax_fixed() -> Array:
        return jax.nn.gelu(jnp.array([1.0]), approximate=False)

    GELU_TANH_DEFAULT = Trap(
        id="gelu-tanh-default",
        statement="gelu is exact in PyTorch and a tanh approximation in JAX.",
        severity="silent wrong result",
        symptoms="transformer port differs activations 1e-4",
        pytorch=gelu_pytorch,
        pytorch_gives=[0.8413447],
        jax=gelu_jax,
        jax_gives=[0.8411920],
        fix="Pass approximate=False to jax.nn.gelu.",
        jax_fixed=gelu_jax_fixed,
        source="jax-ml/jax#4428",
    )

The functions' own source is what a reader sees in two columns, so they are short and plain.
A function may return numbers, strings, shapes, tensors of either framework, or tuples and
dictionaries of these. Write what it gives as plain Python: a tensor as a nested list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Severity = Literal["silent wrong result", "error", "slow"]
Needs = Literal["cpu", "cuda"]

VERIFIED: Final = "torch 2.13.0, jax 0.10.2, flax 0.12.8, optax 0.2.8, numpy 2.4.6"


@dataclass(frozen=True)
class Raises:
    """Expected: an error of the class `kind` whose message contains `words`."""

    kind: str
    words: str = ""


@dataclass(frozen=True)
class Warns:
    """Expected: a warning whose message contains `words`, and then `value`."""

    words: str
    value: Any = None


@dataclass(frozen=True, kw_only=True)
class Trap:
    """One place where the two frameworks look the same and are not.

    `pytorch_gives` and `jax_gives` are plain Python values, `Raises` or `Warns`. They must be met
    within `tolerance`, relative to the largest magnitude of a tensor. The default allows for
    float32 rounding only. A side without a `_fixed` function is right as it is; the two fixed
    sides must agree within `fix_tolerance`, bit for bit unless `fix_tolerance_reason` says why not.
    """

    id: str
    statement: str
    severity: Severity
    symptoms: str
    """Words that a person would search for, beyond those of the statement."""
    pytorch: Callable[[], Any]
    pytorch_gives: Any
    jax: Callable[[], Any]
    jax_gives: Any
    fix: str
    pytorch_fixed: Callable[[], Any] | None = None
    jax_fixed: Callable[[], Any] | None = None
    source: str
    """Issues as `owner/repository#number`, pages as addresses, separated by `; `."""
    tolerance: float = 1e-5
    fix_tolerance: float = 0.0
    fix_tolerance_reason: str = ""
    shared: bool = False
    """Both sides give the same, and both surprise."""
    slow: bool = False
    """Takes tens of seconds: compiles with Inductor, say."""
    needs: Needs = "cpu"
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that must be set before the frameworks load: the trap runs in a fresh process."""
    verified: str = VERIFIED

    @property
    def theme(self) -> str:
        """The module or package that holds the trap: `layers`, `optimizers`, ..."""
        return self.pytorch.__module__.removeprefix("comparisons.atlas.traps.").partition(".")[0]
