"""A JAX model as a side: traced in float64 with its tensors as arguments, compiled once a question.

Nothing here knows Flax: what a model is made of is said by the classes below `JaxSide`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, final

import jax
import jax.numpy as jnp

from twofold.errors import BadInput, SideFailed, TwofoldError
from twofold.port.calling import told
from twofold.port.side import Answer, Array, Call, Precision, Side, Stepper, Tensor
from twofold.port.trees import leaves as tree_leaves
from twofold.port.trees import mapped
from twofold.port.weights.use import Use
from twofold.port.where.operations import LOSS
from twofold.port.where.tables import is_narrow
from twofold_jax.port.arrays import array, is_array, number
from twofold_jax.port.operations import Operations
from twofold_jax.port.sites import Sites
from twofold_jax.port.steps import JaxStepper
from twofold_jax.port.tables import RunTables
from twofold_jax.port.uses import uses_of
from twofold_jax.port.wide import Watch, recorded

DTYPES: Final[Mapping[Precision, Any]] = {
    "float64": jnp.float64,
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
}
NOT_TRACEABLE: Final = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
EAGER: Final = "Python control flow depends on data; the program ran operation by operation"
SMALL: Final = 1_000_000
FEW: Final = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""What `jax_disable_most_optimizations` asks of XLA (JAX 0.10, jax/_src/compiler.py)."""
KEPT: Final = "casts inside could not be kept in float64: "

Values = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Applied:
    """What a model returns when it is applied to its tensors, with buffers and module outputs."""

    outputs: Any
    buffers: Values
    modules: Values
    inputs: Values = field(default_factory=dict)


@final
@dataclass
class Program:
    """A question in its compiled form; `watch` has what was seen while it was traced."""

    run: Callable[..., Any]
    watch: Watch
    compiled: bool = True
    notes: tuple[str, ...] = ()


class JaxSide(Side):
    """What the sides of JAX share. A class below says what its tensors are and applies them."""

    def __init__(self, *, call: Any, loss: Any, optimizer: Any) -> None:
        self._call = call
        self._loss = loss
        self.optimizer = optimizer
        self.operations: Operations | None = None
        self._programs: dict[Any, Program] = {}

    @abstractmethod
    def apply(self, values: Values, batch: Any, call: Call, forced: Values) -> Applied:
        """Run the model on tensors by name, inside a trace or not."""

    @abstractmethod
    def trainable_tree(self, values: Values) -> Any:
        """The trainable tensors in the tree that an optimizer of the person's sees."""

    @abstractmethod
    def trainable_values(self, tree: Any) -> Values:
        """The tensors of such a tree by name."""

    @property
    def has_loss(self) -> bool:
        """Whether a loss was given."""
        return self._loss is not None

    @property
    def has_optimizer(self) -> bool:
        """Whether an optimizer was given."""
        return self.optimizer is not None

    def answer(self, call: Call) -> Answer:
        """Run the model once. Raises SideFailed."""
        if "tables" in call.want:
            return self._with_tables(call)
        if {"operations", "sites"} & call.want or call.changes:
            return self._recorded(call)
        with self.session(call):
            program = self.program(call, "answer", self._question)
            outputs, loss, gradients, buffers, inside, kept = self._ran(program, call)
            modules, inputs = inside
            return Answer(
                outputs=_plain(outputs),
                loss=None if loss is None else number(loss),
                gradients=_plain(gradients),
                buffers=_plain(buffers),
                modules=_plain({n: modules[n] for n in program.watch.places if n in modules}),
                module_inputs=_plain(inputs),
                masks=recorded(program.watch, kept) if "masks" in call.want else (),
                casts=program.watch.casts,
                draws=tuple(dict.fromkeys(program.watch.drawn)),
                notes=program.notes,
            )

    def _recorded(self, call: Call) -> Answer:
        """Run once, operation by operation. Raises SideFailed, also where gradients are asked."""
        if "gradients" in call.want:
            raise SideFailed(f"{self.label}: operations are changed without gradients only")
        self.operations = Operations()
        sites = Sites(self.operations.running, call.changes)
        wide = call.wide and call.precision == "float64"
        tables = RunTables(call.replacements) if call.replacements else None
        watch = Watch(wide=wide, operations=self.operations, sites=sites, tables=tables)
        try:
            with self.session(call), watch.on(), sites.on(), jax.disable_jit():
                operands = self.operands(call)
                for leaf in jax.tree_util.tree_leaves(operands[1]):
                    self.operations.recorder.source(leaf)
                outputs, loss, _, _, inside, _ = self._question(watch, call)(*operands)
                return Answer(
                    outputs=_plain(outputs),
                    loss=number(loss),
                    modules=_plain(inside[0]),
                    module_inputs=_plain(inside[1]),
                    operations=tuple(self.operations.recorder.operations),
                    sites=tuple(sites.found),
                )
        finally:
            self.operations = None

    def _with_tables(self, call: Call) -> Answer:
        """Run once, operation by operation, and collect the tables. Raises SideFailed."""
        tables = RunTables()
        watch = Watch(wide=call.wide, tables=tables)
        with self.session(call), watch.on(), jax.disable_jit():
            values, batch, *rest = self.operands(call)
            for tensor in self.tensors():
                if tensor.name in call.tensors or tensor.trainable:
                    tables.found.judged(values[tensor.name])
                elif is_narrow(tensor.value):
                    tables.found.narrow(values[tensor.name], tensor.name)
            for leaf in jax.tree_util.tree_leaves(batch):
                if jnp.issubdtype(leaf.dtype, jnp.floating):
                    tables.found.judged(leaf)
            outputs, *_ = self._question(watch, call)(values, batch, *rest)
            return Answer(outputs=_plain(outputs), tables=tables.found.found)

    @contextmanager
    def session(self, call: Call) -> Iterator[None]:
        """float64 switched on for it; errors of the person's own code told as SideFailed."""
        try:
            with jax.enable_x64(call.precision == "float64"):
                yield
        except TwofoldError:
            raise
        except Exception as error:
            raise SideFailed(f"{self.label}: {told(error)}") from error

    def _ran(self, program: Program, call: Call) -> Any:
        try:
            operands = self.operands(call)
            with program.watch.on():
                return program.run(*operands)
        except NOT_TRACEABLE:
            if not program.compiled:
                raise
        except TypeError as error:
            if not call.wide or call.precision != "float64":
                raise
            return self._ran_narrow(program, call, error)
        program.run, program.compiled = self._question(program.watch, call), False
        program.notes = (*program.notes, EAGER)
        return self._ran(program, call)

    def _ran_narrow(self, program: Program, call: Call, error: TypeError) -> Any:
        """Once more with the casts as they are: what is wide and what narrow may not fit."""
        program.watch = Watch(wide=False)
        program.run = jax.jit(self._question(program.watch, call))
        with program.watch.on():
            answer = program.run(*self.operands(call))
        program.notes = (*program.notes, KEPT + told(error))
        return answer

    def program(
        self, call: Call, kind: str, question: Callable[[Watch, Call], Callable[..., Any]]
    ) -> Program:
        """The compiled form of a question, made once for all calls that differ in numbers only."""
        wide = call.wide and call.precision == "float64"
        if call.replacements:
            watch = Watch(wide=wide, tables=RunTables(call.replacements))
            return Program(one_by_one(question(watch, call)), watch, compiled=False)
        masks = call.masks if call.masks is None else len(call.masks)
        key = (
            *(kind, call.mode, call.precision, call.want, call.inputs),
            *(wide, masks, tuple(call.forced)),
        )
        if key not in self._programs:
            watch = Watch(wide=wide)
            options = FEW if call.precision == "float64" and self._is_small() else None
            run = jax.jit(question(watch, call), compiler_options=options)
            self._programs[key] = Program(run, watch)
        return self._programs[key]

    def _is_small(self) -> bool:
        """Whether to compile takes longer than to run, so that XLA need not optimize."""
        return sum(tensor.value.size for tensor in self.tensors()) <= SMALL

    def _question(self, watch: Watch, call: Call) -> Callable[..., Any]:
        """The function that answers a call; what it closes over is not of this call's numbers."""

        def ask(values: Values, batch: Any, projection: Any, masks: Any, forced: Values) -> Any:
            watch.expect(masks)
            own = frozenset(t.name for t in self.tensors() if t.trainable and t.role == "parameter")

            def total(trained: Values) -> Any:
                applied = self.apply({**values, **trained}, batch, call, forced)
                watch.places = tuple(applied.modules)  # a compiled program sorts its dictionaries
                flat = dict(tree_leaves(applied.outputs, is_array))
                if watch.operations is not None:
                    watch.operations.running.append(LOSS)
                loss = self.loss(applied.outputs, flat, batch, projection, call)
                return loss, (flat, applied.buffers, (applied.modules, applied.inputs))

            if "gradients" in call.want:
                trained = {name: value for name, value in values.items() if name in own}
                (loss, aux), gradients = jax.value_and_grad(total, has_aux=True)(trained)
            else:
                (loss, aux), gradients = total({}), {}
            watch.require_all_used()
            flat, buffers, inside = aux
            kept = [mask for mask, _ in watch.masks] if "masks" in call.want else []
            buffers = buffers if "buffers" in call.want else {}
            return flat, loss, gradients, buffers, inside, kept

        return ask

    def loss(self, outputs: Any, flat: Values, batch: Any, projection: Any, call: Call) -> Any:
        """The person's loss, or the outputs' product with a fixed projection. Raises BadInput."""
        if not {"loss", "gradients"} & call.want:
            return jnp.zeros(())
        if self._loss is None:
            parts = [
                jnp.sum(flat[path] * jnp.asarray(weights, flat[path].dtype))
                for path, weights in projection.items()
                if jnp.issubdtype(flat[path].dtype, jnp.floating)
            ]
            return sum(parts, jnp.zeros((), DTYPES[call.precision]))
        value = self._loss(outputs, batch)
        if isinstance(value, tuple) and len(value) == 2:  # as value_and_grad(has_aux=True) takes it
            value = value[0]
        if jnp.shape(value) != ():
            raise BadInput(
                f"{self.label}: loss: shape {jnp.shape(value)} returned; allowed is a scalar"
            )
        return value

    def operands(self, call: Call) -> tuple[Any, ...]:
        """The arguments of a compiled question: everything that has numbers."""
        dtype = DTYPES[call.precision]
        values = {t.name: _taken(t, call.tensors, dtype) for t in self.tensors()}
        batch = mapped(call.batch, lambda _, item: array(item, dtype))
        projection = {
            path: jnp.asarray(item, dtype) for path, item in (call.projection or {}).items()
        }
        masks = None if call.masks is None else [jnp.asarray(mask.kept) for mask in call.masks]
        forced = {name: array(item, dtype) for name, item in call.forced.items()}
        return values, batch, projection, masks, forced

    def first_use(self, call: Call) -> tuple[Use, ...]:
        """How the program first uses each tensor, in the order of the program."""
        plain = Call(
            call.tensors,
            call.batch,
            mode=call.mode,
            precision="float32",  # a cell's state starts in it, and nothing here widens casts
            inputs=call.inputs,
            wide=False,
        )
        with self.session(plain):
            values, batch, *_ = self.operands(plain)
            names = list(values)
            watch = Watch(wide=False)

            def run(leaves: Any, batch: Any) -> Any:
                watch.expect(())
                given = dict(zip(names, leaves, strict=True))
                outputs = self.apply(given, batch, plain, {}).outputs
                return dict(tree_leaves(outputs, is_array))

            with watch.on():
                return uses_of(run, names, list(values.values()), (batch,))

    def stepper(self) -> Stepper:
        """A fresh optimizer of the model. Raises BadInput."""
        if self.optimizer is None:
            raise BadInput(f"{self.label}: no optimizer given")
        return JaxStepper(self)


def one_by_one(run: Callable[..., Any]) -> Callable[..., Any]:
    """A program that runs operation by operation: only so are tables numbers while it runs."""

    def ran(*operands: Any) -> Any:
        with jax.disable_jit():
            return run(*operands)

    return ran


def _taken(tensor: Tensor, given: Mapping[str, Array], dtype: Any) -> jax.Array:
    return array(given.get(tensor.name, tensor.value), dtype)


def _plain(values: Values) -> dict[str, Array]:
    return {name: number(value) for name, value in values.items()}
