"""`Nnx`: a module of Flax NNX as a side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import jax
import jax.numpy as jnp
from flax import nnx
from twofold_jax.port.arrays import is_array, numpy_value
from twofold_jax.port.captured import Places, intercepted
from twofold_jax.port.model import Applied, JaxSide, Values
from twofold_jax.port.naming import kind, plain_attributes

from twofold.errors import BadInput
from twofold.port.calling import arguments, mode_keywords, parameter_names
from twofold.port.side import Call, Module, Tensor


@final
class Nnx(JaxSide):
    """Any `nnx.Module`, as it is used.

    `call(module, batch)` returns what the model computes; without it the module is called with
    what its `__call__` takes of the batch. `loss(outputs, batch)` is a scalar. `optimizer` is a
    transformation of Optax or an `nnx.Optimizer`.
    """

    def __init__(
        self,
        model: nnx.Module,
        *,
        call: Callable[..., Any] | None = None,
        loss: Callable[[Any, Any], Any] | None = None,
        optimizer: Any = None,
    ) -> None:
        if not isinstance(model, nnx.Module):
            raise BadInput(f"Nnx: {type(model).__name__} given; allowed is an nnx.Module")
        super().__init__(call=call, loss=loss, optimizer=optimizer)
        self.model = model
        self._definition, state = nnx.split(model)
        self._flat = list(nnx.to_flat_state(state))
        self._trained = getattr(optimizer, "wrt", nnx.Param)
        self._tensors = tuple(self._described())

    @property
    def label(self) -> str:
        """ "NNX" and the name of the class."""
        return f"NNX {type(self.model).__name__}"

    def tensors(self) -> tuple[Tensor, ...]:
        """Every parameter and other variable with numbers; keys of random numbers are none."""
        return self._tensors

    def modules(self) -> tuple[Module, ...]:
        """Every module of the module."""
        return tuple(
            Module(_name(path), kind(item, nnx, "flax.nnx"), plain_attributes(vars(item)))
            for path, item in sorted(nnx.iter_modules(self.model), key=lambda pair: len(pair[0]))
        )

    def part(self, path: str) -> Nnx:
        """The side of one submodule. Raises BadInput."""
        for name, item in nnx.iter_modules(self.model):
            if _name(name) == path:
                return Nnx(item)
        known = ", ".join(module.name for module in self.modules() if module.name)
        raise BadInput(f"part: {path!r} given; the module has {known}")

    def _described(self) -> Iterator[Tensor]:
        owners: Mapping[str, Any] = {_name(p): m for p, m in nnx.iter_modules(self.model)}
        is_trained = nnx.filterlib.to_predicate(self._trained)
        for path, variable in self._flat:
            value = variable.get_value() if isinstance(variable, nnx.Variable) else variable
            if isinstance(variable, nnx.RngState) or not is_array(value):
                continue
            if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
                continue
            _require_cpu(_name(path), value)
            owner = owners.get(_name(path[:-1]))
            yield Tensor(
                name=_name(path),
                value=numpy_value(value),
                role="parameter" if isinstance(variable, nnx.Param) else "buffer",
                trainable=bool(is_trained(path, variable)),
                owner="" if owner is None else kind(owner, nnx, "flax.nnx"),
                attributes={} if owner is None else plain_attributes(vars(owner)),
            )

    def apply(self, values: Values, batch: Any, call: Call, forced: Values) -> Applied:
        """Run a copy of the module that holds these values."""
        training = call.mode == "training"
        state = nnx.from_flat_state(
            [(path, _with(leaf, values.get(_name(path)))) for path, leaf in self._flat]
        )
        model: Any = nnx.merge(self._definition, state, copy=True)
        if training:
            model.train()
        else:
            model.eval()
        places = Places(forced, keep="modules" in call.want, operations=self.operations)
        watched = call.forced or self.operations is not None or "modules" in call.want
        with _intercepted(model, places) if watched else nullcontext():
            outputs = self._outputs(model, batch, call)
        after = {_name(path): leaf for path, leaf in nnx.to_flat_state(nnx.state(model))}
        buffers = {
            tensor.name: after[tensor.name][...]
            for tensor in self._tensors
            if tensor.role == "buffer" and isinstance(after.get(tensor.name), nnx.Variable)
        }
        return Applied(outputs, buffers, places.found, places.inputs)

    def _outputs(self, model: Any, batch: Any, call: Call) -> Any:
        training = call.mode == "training"
        if self._call is not None:
            extra = {"training": training} if "training" in parameter_names(self._call) else {}
            return self._call(model, batch, **extra)
        positional, named = arguments(batch, call.inputs, model.__call__, self.has_loss)
        return model(*positional, **mode_keywords(model.__call__, training), **named)

    def trainable_tree(self, values: Values) -> Any:
        """The state that an `nnx.Optimizer` of this model sees."""
        return nnx.from_flat_state(
            [
                (path, _with(leaf, values[_name(path)]))
                for path, leaf in self._flat
                if self._is_trained(_name(path))
            ]
        )

    def trainable_values(self, tree: Any) -> Values:
        """The variables of such a state by name."""
        return {_name(path): leaf.get_value() for path, leaf in nnx.to_flat_state(tree)}

    def _is_trained(self, name: str) -> bool:
        return any(t.name == name and t.trainable for t in self._tensors)


def _name(path: Any) -> str:
    return ".".join(str(part) for part in path)


def _with(leaf: Any, value: Any) -> Any:
    if value is None:
        return leaf
    return leaf.replace(value) if isinstance(leaf, nnx.Variable) else value


def _require_cpu(name: str, value: Any) -> None:
    where = {device.platform for device in value.devices()} if hasattr(value, "devices") else set()
    if where - {"cpu"}:
        raise BadInput(
            f"{name}: on {', '.join(sorted(where))}; models are judged on the CPU, in float64; set "
            "JAX_PLATFORMS=cpu or move the model with jax.device_put"
        )


def _intercepted(model: Any, places: Places) -> AbstractContextManager[None]:
    """Every module's `__call__` watched while the model runs, at the classes that define it."""
    modules = list(nnx.iter_modules(model))
    names = {id(item): _name(path) for path, item in modules}
    return intercepted(names, (base for _, item in modules for base in type(item).__mro__), places)
