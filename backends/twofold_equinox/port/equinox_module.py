"""`Equinox`: a module of Equinox as a side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, final

import equinox as eqx
import jax
from twofold_jax.port.arrays import numpy_value
from twofold_jax.port.captured import Places, intercepted, through_vmap
from twofold_jax.port.model import Applied, JaxSide, Values
from twofold_jax.port.naming import kind, plain_attributes

from twofold.errors import BadInput
from twofold.port.calling import arguments, mode_keywords, parameter_names
from twofold.port.side import Call, Module, Tensor


@final
class Equinox(JaxSide):
    """Any `eqx.Module`, as it is used.

    `call(module, batch)` returns what the model computes. Without it the module is called for each
    row of the batch, `jax.vmap(module)(inputs)`, as modules of Equinox are written for one row.
    `loss(outputs, batch)` is a scalar; `optimizer` is a transformation of Optax, which sees
    `eqx.filter(module, eqx.is_inexact_array)`. In evaluation the module is in inference mode. An
    `eqx.nn.State`, such as BatchNorm has, is not taken along: close over it in `call`.
    """

    def __init__(
        self,
        model: Any,
        *,
        call: Callable[..., Any] | None = None,
        loss: Callable[[Any, Any], Any] | None = None,
        optimizer: Any = None,
    ) -> None:
        if not isinstance(model, eqx.Module):
            raise BadInput(f"Equinox: {type(model).__name__} given; allowed is an eqx.Module")
        super().__init__(call=call, loss=loss, optimizer=optimizer)
        self.model = model
        arrays, self._rest = eqx.partition(model, eqx.is_array)
        pairs, self._structure = jax.tree_util.tree_flatten_with_path(arrays)
        owners = dict(_modules(model))
        self._tensors = tuple(_tensor(path, leaf, owners) for path, leaf in pairs)
        if not self._tensors:
            raise BadInput(f"Equinox: {type(model).__name__} has no arrays")

    @property
    def label(self) -> str:
        """ "Equinox" and the name of the class."""
        return f"Equinox {type(self.model).__name__}"

    def tensors(self) -> tuple[Tensor, ...]:
        """Every array of the module."""
        return self._tensors

    def modules(self) -> tuple[Module, ...]:
        """Every module of the module, the outermost first."""
        found = sorted(_modules(self.model), key=lambda pair: pair[0].count(".") + bool(pair[0]))
        return tuple(
            Module(name, kind(item, eqx.nn, "equinox.nn"), plain_attributes(vars(item)))
            for name, item in found
        )

    def part(self, path: str) -> Equinox:
        """The side of one submodule. Raises BadInput."""
        modules = dict(_modules(self.model))
        if path not in modules:
            known = ", ".join(name for name in modules if name)
            raise BadInput(f"part: {path!r} given; the module has {known}")
        return Equinox(modules[path])

    def apply(self, values: Values, batch: Any, call: Call, forced: Values) -> Applied:
        """Run a module that holds these values."""
        training = call.mode == "training"
        leaves = [values[tensor.name] for tensor in self._tensors]
        model: Any = eqx.combine(jax.tree_util.tree_unflatten(self._structure, leaves), self._rest)
        model = eqx.nn.inference_mode(model, value=not training)
        places = Places(forced, keep="modules" in call.want, operations=self.operations)
        watched = call.forced or self.operations is not None or "modules" in call.want
        with _intercepted(model, places, forced) if watched else nullcontext():
            outputs = self._outputs(model, batch, call)
        return Applied(outputs, {}, places.found, places.inputs)

    def _outputs(self, model: Any, batch: Any, call: Call) -> Any:
        training = call.mode == "training"
        if self._call is not None:
            extra = {"training": training} if "training" in parameter_names(self._call) else {}
            return self._call(model, batch, **extra)
        positional, named = arguments(batch, call.inputs, model.__call__, self.has_loss)
        mode = mode_keywords(model.__call__, training)

        def of_one_row(positional: Any, named: Any) -> Any:
            return model(*positional, **named, **mode)

        return jax.vmap(of_one_row)(positional, named)

    def trainable_tree(self, values: Values) -> Any:
        """The module's floating-point arrays in its own shape, None elsewhere."""
        leaves = [values[t.name] if t.trainable else None for t in self._tensors]
        return jax.tree_util.tree_unflatten(self._structure, leaves)

    def trainable_values(self, tree: Any) -> Values:
        """The arrays of such a tree by name."""
        pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
        return {_name(path): leaf for path, leaf in pairs}


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _modules(model: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every module in a module with its path, itself first."""
    yield _name(path), model
    inside, _ = jax.tree_util.tree_flatten_with_path(
        model, is_leaf=lambda item: isinstance(item, eqx.Module) and item is not model
    )
    for below, item in inside:
        if isinstance(item, eqx.Module):
            yield from _modules(item, (*path, *below))


@contextmanager
def _intercepted(model: Any, places: Places, forced: Values) -> Iterator[None]:
    """Every module's `__call__` watched while the model runs, inside `jax.vmap` as well."""
    modules = list(_modules(model))
    names = {id(item): name for name, item in modules}
    classes = (base for _, item in modules for base in type(item).__mro__)
    if places.operations is not None:
        for value in forced.values():  # a row of it is known by the whole
            places.operations.recorder.source(value)
    with intercepted(names, classes, places), through_vmap(places):
        yield


def _tensor(path: Any, leaf: Any, owners: dict[str, Any]) -> Tensor:
    name, value = _name(path), numpy_value(leaf)
    floats = value.dtype.kind == "f"
    owner = owners.get(name.rpartition(".")[0])
    return Tensor(
        name,
        value,
        "parameter" if floats else "buffer",
        trainable=floats,
        owner="" if owner is None else kind(owner, eqx.nn, "equinox.nn"),
        attributes={} if owner is None else plain_attributes(vars(owner)),
    )
