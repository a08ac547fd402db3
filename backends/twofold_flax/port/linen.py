"""`Linen`: a module of Flax Linen and its variables as a side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final, final

import flax.linen as nn
import jax
from flax import traverse_util
from flax.core import meta, unfreeze
from twofold_jax.port.arrays import numpy_value
from twofold_jax.port.captured import Places, exchanging
from twofold_jax.port.model import Applied, JaxSide, Values
from twofold_jax.port.naming import kind, plain_attributes
from twofold_jax.port.wide import Watch

from twofold.errors import BadInput
from twofold.port.calling import arguments, mode_keywords, parameter_names
from twofold.port.side import Call, Module, Tensor

Path = tuple[str, ...]
_FLATTEN: Any = traverse_util.flatten_dict
_UNFLATTEN: Any = traverse_util.unflatten_dict
OUTER: Final = ("parent", "scope", "_state", "_id")
"""Attributes of a module of Linen that hold what is around it, or its own state."""


@final
class Linen(JaxSide):
    """A `flax.linen.Module` with its variables (or its parameters alone), as it is used.

    `call(module, batch)` gets the module bound to its variables; without it the module is called
    with what its `__call__` takes of the batch. `rngs` names the streams of random numbers that it
    asks for. `loss(outputs, batch)` is a scalar; `optimizer` is a transformation of Optax.
    """

    def __init__(
        self,
        module: nn.Module,
        variables: Mapping[str, Any],
        *,
        call: Callable[..., Any] | None = None,
        loss: Callable[[Any, Any], Any] | None = None,
        optimizer: Any = None,
        rngs: Sequence[str] = ("dropout",),
    ) -> None:
        if not isinstance(module, nn.Module):
            raise BadInput(f"Linen: {type(module).__name__} given; allowed is a linen Module")
        super().__init__(call=call, loss=loss, optimizer=optimizer)
        self.module = module
        self._rngs = tuple(rngs)
        plain = unfreeze(meta.unbox(variables))
        if "params" not in plain:
            plain = {"params": plain}
        self._leaves: dict[Path, Any] = _FLATTEN(plain)
        self._names = _names(list(self._leaves))
        self._modules: tuple[Module, ...] = ()
        self._tensors = self._described()

    @property
    def label(self) -> str:
        """ "Linen" and the name of the class."""
        return f"Linen {type(self.module).__name__}"

    def tensors(self) -> tuple[Tensor, ...]:
        """Every leaf of the variables; the kinds of their modules once `look` has run."""
        return self._tensors

    def modules(self) -> tuple[Module, ...]:
        """Every module that runs; () before `look`."""
        return self._modules

    def look(self, call: Call) -> None:
        """Trace the model once, which is how Linen's modules become known."""
        found: dict[str, Module] = {}

        def note(next_function: Any, args: Any, keywords: Any, context: Any) -> Any:
            name = ".".join(context.module.path)
            if name not in found:
                values = {
                    key: getattr(context.module, key, None)
                    for key in type(context.module).__dataclass_fields__
                }
                found[name] = Module(
                    name, kind(context.module, nn, "flax.linen"), plain_attributes(values)
                )
            return next_function(*args, **keywords)

        plain = replace(call, precision="float32", want=frozenset({"outputs"}), wide=False)
        with self.session(plain), nn.intercept_methods(note):
            watch = Watch(wide=False)
            with watch.on():
                jax.eval_shape(self._question(watch, plain), *self.operands(plain))
        self._modules = tuple(
            sorted(found.values(), key=lambda m: m.name.count(".") * bool(m.name))
        )
        self._tensors = self._described()

    def part(self, path: str) -> Linen:
        """The side of one submodule that `setup` makes, by its path in the variables.

        What `nn.compact` makes exists only while the model runs. Raises BadInput.
        """
        variables = _UNFLATTEN(self._leaves)
        at: nn.Module = self.module.bind(variables)
        for count, name in enumerate(path.split(".")):
            inside = _children(at)
            if name not in inside:
                outer = ".".join(path.split(".")[:count]) or "the model"
                raise BadInput(
                    f"part: {path!r} given; in {outer}, setup makes "
                    f"{', '.join(inside) or 'no modules'}; what nn.compact makes exists only while "
                    "the model runs: give that module and its variables, port.Linen(module, "
                    'variables), and "" for its path'
                )
            at = inside[name]
        module, own = at.unbind()
        return Linen(module, own, rngs=self._rngs)

    def _described(self) -> tuple[Tensor, ...]:
        kinds = {module.name: module for module in self._modules}
        found = []
        for path, leaf in self._leaves.items():
            owner = kinds.get(".".join(path[1:-1]))
            found.append(
                Tensor(
                    name=self._names[path],
                    value=numpy_value(leaf),
                    role="parameter" if path[0] == "params" else "buffer",
                    trainable=path[0] == "params",
                    owner="" if owner is None else owner.kind,
                    attributes={} if owner is None else owner.attributes,
                )
            )
        return tuple(found)

    def apply(self, values: Values, batch: Any, call: Call, forced: Values) -> Applied:
        """Apply the module to these values."""
        training = call.mode == "training"
        variables = _UNFLATTEN(
            {path: values.get(name, self._leaves[path]) for path, name in self._names.items()}
        )
        mutable = [collection for collection in variables if collection != "params"]
        rngs = {name: jax.random.key(i) for i, name in enumerate(self._rngs)}
        places = Places(forced, keep="modules" in call.want, operations=self.operations)
        watched = call.forced or self.operations is not None or "modules" in call.want
        with nn.intercept_methods(exchanging(places)) if watched else nullcontext():
            bound = self.module.bind(variables, rngs=rngs, mutable=mutable if training else False)
            outputs = self._outputs(bound, batch, call)
            after = bound.variables
        flat = _FLATTEN(unfreeze(dict(after)))
        buffers = {
            name: flat[path]
            for path, name in self._names.items()
            if path[0] != "params" and path in flat
        }
        return Applied(outputs, buffers, places.found, places.inputs)

    def _outputs(self, bound: Any, batch: Any, call: Call) -> Any:
        training = call.mode == "training"
        if self._call is not None:
            extra = {"training": training} if "training" in parameter_names(self._call) else {}
            return self._call(bound, batch, **extra)
        positional, named = arguments(batch, call.inputs, bound.__call__, self.has_loss)
        return bound(*positional, **mode_keywords(bound.__call__, training), **named)

    def trainable_tree(self, values: Values) -> Any:
        """The person's own tree of parameters."""
        return _UNFLATTEN(
            {path[1:]: values[name] for path, name in self._names.items() if path[0] == "params"}
        )

    def trainable_values(self, tree: Any) -> Values:
        """The leaves of such a tree by name."""
        flat = _FLATTEN(tree)
        return {self._names["params", *path]: leaf for path, leaf in flat.items()}


def _children(bound: nn.Module) -> dict[str, nn.Module]:
    """The modules that `setup` of a bound module makes, by their names in the variables."""
    hasattr(bound, "what setup makes")  # asking for what is not there runs setup
    values = [value for name, value in vars(bound).items() if name not in OUTER]
    inside = jax.tree_util.tree_leaves(values, is_leaf=lambda v: isinstance(v, nn.Module))
    modules = [item for item in inside if isinstance(item, nn.Module)]
    return {item.name: item for item in modules if item.name is not None}


def _names(paths: list[Path]) -> dict[Path, str]:
    """Names without the collection, and with it where two would be the same."""
    counts = Counter(path[1:] for path in paths)
    return {path: ".".join(path[1:] if counts[path[1:]] == 1 else path) for path in paths}
