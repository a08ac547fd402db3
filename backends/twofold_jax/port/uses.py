"""The order in which a JAX program uses its tensors, and what it does with their axes.

The program is traced once into a jaxpr and walked; nothing of Flax is needed. A scan over stacked
layers is walked layer by layer, every other loop once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jax
from jax.extend import core

from twofold.port.weights.use import Front, Operation, Recorder, Use
from twofold.port.weights.views import Seen

_SAME: Final = {
    "convert_element_type",
    "copy",
    "copy_p",
    "slice",
    "dynamic_slice",
    "reduce_precision",
    "stop_gradient",
    "sharding_constraint",
    "optimization_barrier",
    "split",
}
_SPACE: Final = ("d", "h", "w")


@dataclass(frozen=True)
class _Value:
    """What is known of a value: the tensors that it is (several where they are joined), else its
    front."""

    refs: tuple[Seen, ...] = ()
    front: Front = 0


_NOTHING: Final = _Value()


def uses_of(
    function: Callable[..., object],
    names: Sequence[str],
    leaves: Sequence[Any],
    arguments: Sequence[Any] = (),
    keywords: Mapping[str, Any] | None = None,
) -> tuple[Use, ...]:
    """Every first use of the leaves in `function(leaves, *arguments, **keywords)`.

    `names` are those of the leaves, in their order; leaves may be shapes (`jax.ShapeDtypeStruct`).
    """
    closed = jax.make_jaxpr(lambda given, *rest: function(given, *rest, **(keywords or {})))(
        tuple(leaves), *arguments
    )
    walker = _Walker()
    inputs = [
        _Value((Seen.whole(name, len(leaf.shape)),))
        for name, leaf in zip(names, leaves, strict=True)
    ]
    others = len(closed.jaxpr.invars) - len(inputs)
    walker.walk(closed.jaxpr, [*inputs, *[_NOTHING] * others])
    return walker.recorder.uses


@dataclass
class _Walker:
    recorder: Recorder = field(default_factory=Recorder)

    def walk(self, jaxpr: Any, inputs: Sequence[_Value]) -> list[_Value]:
        known: dict[Any, _Value] = dict(zip(jaxpr.invars, inputs, strict=True))

        def read(variable: Any) -> _Value:
            return _NOTHING if isinstance(variable, core.Literal) else known.get(variable, _NOTHING)

        for equation in jaxpr.eqns:
            outputs = self._equation(equation, [read(variable) for variable in equation.invars])
            known.update(zip(equation.outvars, outputs, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def _equation(self, equation: Any, values: list[_Value]) -> list[_Value]:
        name, count = equation.primitive.name, len(equation.outvars)
        if name == "scan":
            return self._scan(equation.params, values)
        if name == "while":
            return self._while(equation.params, values)
        if name == "cond":
            return self._cond(equation.params, values)
        inner = next((each for each in equation.params.values() if _jaxpr(each) is not None), None)
        if inner is not None and len(_jaxpr(inner).invars) == len(values):
            outputs = self.walk(_jaxpr(inner), values)
            if len(outputs) == count:
                return outputs
        if values and values[0].refs:
            seen = _seen(equation, values)
            if seen is not None:
                return [seen] * count
        return [_Value(front=self._used(equation, values))] * count

    def _used(self, equation: Any, values: list[_Value]) -> Front:
        front = self.recorder.nearest(*(value.front for value in values))
        result = front
        for place, value in enumerate(values):
            operation, labels = _meaning(equation, place) if value.refs else ("", ())
            for ref in value.refs:
                used = self.recorder.use(ref.name, ref.part, front, operation, ref.axes(labels))
                result = self.recorder.nearest(result, used)
        return result

    def _scan(self, params: Mapping[str, Any], values: list[_Value]) -> list[_Value]:
        """Layer by layer where several tensors are stacked along the scan, else once."""
        consts, carries = _counts(params)
        body, length = params["jaxpr"].jaxpr, params["length"]
        stacked = [value for value in values[consts + carries :] if value.refs]
        layers = len(stacked) > 1 and all(ref.is_whole for value in stacked for ref in value.refs)
        carry, rows = values[consts : consts + carries], values[consts + carries :]
        ys: list[Front] = [0] * (len(body.outvars) - carries)
        order = range(length)
        for layer in (reversed(order) if params["reverse"] else order) if layers else [None]:
            inputs = [*values[:consts], *carry, *(_row(value, layer) for value in rows)]
            outputs = self.walk(body, inputs)
            carry = [self._plain(value) for value in outputs[:carries]]
            ys = [
                self.recorder.nearest(y, self._plain(value).front)
                for y, value in zip(ys, outputs[carries:], strict=True)
            ]
        return [*carry, *(_Value(front=front) for front in ys)]

    def _while(self, params: Mapping[str, Any], values: list[_Value]) -> list[_Value]:
        tests, consts = params["cond_nconsts"], params["body_nconsts"]
        carry = values[tests + consts :]
        self.walk(params["cond_jaxpr"].jaxpr, [*values[:tests], *carry])
        return self.walk(params["body_jaxpr"].jaxpr, values[tests:])

    def _cond(self, params: Mapping[str, Any], values: list[_Value]) -> list[_Value]:
        results = [self.walk(branch.jaxpr, values[1:]) for branch in params["branches"]]
        return [
            _Value(front=self.recorder.nearest(*(self._plain(value).front for value in several)))
            for several in zip(*results, strict=True)
        ]

    def _plain(self, value: _Value) -> _Value:
        """A value that leaves a loop: a tensor that comes out as it went in counts as used."""
        if not value.refs:
            return value
        uses = (self.recorder.use(ref.name, ref.part, 0) for ref in value.refs)
        return _Value(front=self.recorder.nearest(*uses))


def _counts(params: Mapping[str, Any]) -> tuple[int, int]:
    """How many constants and carries a scan has, which stand before what it goes along.

    JAX up to 0.11 gives two numbers; 0.12 gives `ft_in`, three trees of which they are the first
    two (jax/_src/lax/control_flow/loops.py).
    """
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carries, _ = params["ft_in"].unpack()
    return len(consts), len(carries)


def _jaxpr(value: object) -> Any:
    """The jaxpr of a parameter of an equation; None if it has none."""
    if isinstance(value, core.ClosedJaxpr):
        return value.jaxpr
    return value if isinstance(value, core.Jaxpr) else None


def _row(value: _Value, layer: int | None) -> _Value:
    return (
        _each(value, lambda ref: ref.lost() if layer is None else ref.layer(layer))
        if value.refs
        else value
    )


def _seen(equation: Any, values: list[_Value]) -> _Value | None:
    """Tensors behind a view or a join of several; None if the equation computes something."""
    name, params = equation.primitive.name, equation.params
    if name in ("concatenate", "stack"):
        if not all(value.refs for value in values):
            return None
        return _Value(tuple(ref for value in values for ref in value.refs))
    old, new = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    if name in _SAME and len(old) == len(new):
        return values[0]
    if name == "transpose":
        return _each(values[0], lambda ref: ref.permuted(params["permutation"]))
    if name == "rev":
        return _each(values[0], lambda ref: ref.reversed(params["dimensions"]))
    if name == "broadcast_in_dim":
        places = params["broadcast_dimensions"]
        if any(new[place] != size for place, size in zip(places, old, strict=True)):
            return _each(values[0], Seen.lost)
        return _each(values[0], lambda ref: ref.placed(places, len(new)))
    if name in ("reshape", "squeeze", "expand_dims"):
        return _each(values[0], lambda ref: ref.reshaped(old, new))
    return None


def _each(value: _Value, move: Callable[[Seen], Seen]) -> _Value:
    return _Value(tuple(map(move, value.refs)))


def _meaning(equation: Any, place: int) -> tuple[Operation, tuple[str, ...]]:
    """What an equation does with its operand at a place: the operation, and its dimensions."""
    name, params = equation.primitive.name, equation.params
    rank = len(equation.invars[place].aval.shape)
    if name == "dot_general":
        contracted, batched = params["dimension_numbers"]
        inner, outer = contracted[place], batched[place]
        names = [
            "batch" if axis in outer else "in" if axis in inner else "out" for axis in range(rank)
        ]
        return "contract", _numbered(names)
    if name == "conv_general_dilated" and place == 1:
        return "convolve", _kernel(params, rank)
    if name == "gather" and place == 0 and rank == 2:
        numbers = params["dimension_numbers"]
        if numbers.start_index_map == (0,) and numbers.collapsed_slice_dims == (0,):
            return "gather", ("vocab", "dim")
    return "", ()


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Labels that stand once each: several inputs are "in.in1", "in.in2", in their order."""
    counts: dict[str, int] = {}
    labels = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        labels.append(f"{name}.{name}{counts[name]}" if names.count(name) > 1 else name)
    return tuple(labels)


def _kernel(params: Mapping[str, Any], rank: int) -> tuple[str, ...]:
    spec, groups = params["dimension_numbers"].rhs_spec, params["feature_group_count"]
    labels = [""] * rank
    labels[spec[0]] = "out" if groups == 1 else f"(out.group={groups} out.each)"
    labels[spec[1]] = "in"
    for axis, label in zip(spec[2:], _SPACE[5 - rank :], strict=True):
        labels[axis] = label
    return tuple(labels)
