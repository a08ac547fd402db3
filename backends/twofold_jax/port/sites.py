"""Operations of a JAX run that can be run in another way, while the program runs uncompiled.

Functions that the person calls by way of `jax.nn`, `jax.numpy`, `flax.nnx` or `flax.linen` are
exchanged there for the time of a run; plain numbers are seen at the primitives that take them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, final

import jax
import jax.numpy as jnp
import numpy as np

from twofold.port.calling import own_line
from twofold.port.causes.sites import Change, Site

MODULES: Final = ("jax.nn", "jax.numpy", "flax.nnx", "flax.linen")
WITH_NUMBERS: Final = frozenset({"add", "sub", "mul", "div", "max", "min", "pow"})
_GELU: Final[Any] = jax.nn.gelu  # while a run is watched, jax.nn has another one
ACTIVATIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "none": lambda x: x,
    "relu": jax.nn.relu,
    "gelu": lambda x: _GELU(x, approximate=False),
    "tanh gelu": lambda x: _GELU(x, approximate=True),
    "quick gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "leaky relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
}
NAMES: Final = {
    **{name: name for name in ("relu", "silu", "tanh", "sigmoid", "elu", "softplus")},
    "swish": "silu",
    "leaky_relu": "leaky relu",
}


@final
class Sites:
    """Numbers what can be changed, and changes what is asked; `running` are the modules around."""

    def __init__(self, running: Sequence[str], changes: Sequence[Change]) -> None:
        self.found: list[Site] = []
        self._running = running
        self._changes = {change.site: change.settings for change in changes}
        self._inside = False

    @contextmanager
    def on(self) -> Iterator[None]:
        """See and change what runs inside."""
        homes = [sys.modules[name] for name in MODULES if name in sys.modules]
        watched: dict[str, Any] = dict.fromkeys(NAMES, self._activation)
        watched.update(gelu=self._gelu, softmax=self._softmax, log_softmax=self._softmax)
        before = [
            (home, name, vars(home)[name])
            for home in homes
            for name in watched
            if name in vars(home)
        ]
        try:
            for home, name, function in before:
                setattr(home, name, self._seen(name, function, watched[name]))
            yield
        finally:
            for home, name, function in before:
                setattr(home, name, function)

    def _seen(self, name: str, function: Any, kind: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            if self._inside:
                return function(*args, **named)
            self._inside = True
            try:
                return kind(name, function, args, named)
            finally:
                self._inside = False

        return call

    def _new(self, kind: str, settings: Mapping[str, object]) -> Mapping[str, Any]:
        """Number a site; the settings asked of it, empty for none."""
        number = len(self.found)
        module = self._running[-1] if self._running else ""
        self.found.append(Site(number, kind, settings, own_line(), module))
        return self._changes.get(number, {})

    def _gelu(self, _name: str, function: Any, args: Any, named: Any) -> Any:
        approximate = named.get("approximate", args[1] if len(args) > 1 else True)
        flavour = "tanh" if approximate else "none"
        new = self._new("gelu", {"name": "gelu", "flavour": flavour})
        if "flavour" in new:
            return function(args[0], approximate=new["flavour"] == "tanh")
        return self._other(new, function, args, named)

    def _softmax(self, name: str, function: Any, args: Any, named: Any) -> Any:
        axis, rank = named.get("axis", args[1] if len(args) > 1 else -1), np.ndim(args[0])
        if not isinstance(axis, int):
            return function(*args, **named)
        new = self._new("softmax", {"name": name, "axis": axis % rank, "rank": rank})
        if "axis" in new:
            return function(args[0], **{**named, "axis": new["axis"]})
        return self._other(new, function, args, named)

    def _activation(self, name: str, function: Any, args: Any, named: Any) -> Any:
        new = self._new("activation", {"name": NAMES[name]})
        return self._other(new, function, args, named)

    def _other(self, new: Mapping[str, Any], function: Any, args: Any, named: Any) -> Any:
        if new.get("skip"):
            return args[0]
        if "activation" in new:
            return ACTIVATIONS[new["activation"]](args[0])
        return function(*args, **named)

    def exchanged(self, primitive: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands of a primitive, with another plain number where that is asked."""
        if self._inside or primitive not in WITH_NUMBERS or len(args) != 2:
            return args
        plain = [place for place, value in enumerate(args) if _is_number(value)]
        if len(plain) != 1 or not np.ndim(args[1 - plain[0]]):
            return args
        value = args[plain[0]]
        new = self._new("constant", {"name": primitive, "number": float(value)})
        if "number" not in new:
            return args
        changed = list(args)
        changed[plain[0]] = jnp.asarray(new["number"], jnp.result_type(value))
        return tuple(changed)


def _is_number(value: Any) -> bool:
    if isinstance(value, jax.core.Tracer) or np.ndim(value):
        return False
    return bool(jnp.issubdtype(jnp.result_type(value), jnp.floating))
