"""Data parallelism in JAX: one program over a mesh of devices, with any number of rows.

The program is that of one device. What differs is where its arrays lie: a batch by rows, each
device having as many as any other, and the state on every device or in parts. XLA puts in the sums
over devices, and brings together the parts that a device needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from twofold.engines.world import World
from twofold_jax.counting import CountingJit
from twofold_jax.execution import Execution
from twofold_jax.feed import Steps
from twofold_jax.parts import Shared
from twofold_jax.program import Program
from twofold_jax.state import State
from twofold_jax.world import exchange, join, require_same_state

ROWS: Final = "rows"
PARTED: Final[Any] = PartitionSpec  # untyped in JAX


def sharded(program: Program) -> Execution:
    """As `jit`, on a mesh of all devices of all processes: a batch lies on them by rows.

    Compiles the step of `jit` once for each shape of batch; from where its arguments lie XLA sees
    what each device computes, and where to add up over devices. Nothing in the model says so. It
    pays where the arithmetic of a step takes longer than those sums: for wide models and large
    batches, on several devices or machines. It costs a copy of the state on every device, and in
    every process the call of the same program, in the same order: one that is missing makes all
    others wait. A mean is of all rows, and so are the statistics of batch norm. Rows that do not
    divide among the devices are filled up, and cut off again in the program.
    """
    return Sharded(program, join(), lambda place, _: place.everywhere, scattered=False).execution()


def sharded_weights(program: Program) -> Execution:
    """As `sharded`, and each device keeps a part of the parameters and slots, not all of them.

    Compiles the step of `jit`, as `sharded` does. Of every array of the state each device has a
    part, along the first axis that divides among them; an array without such an axis lies on every
    device. XLA brings the parts of a weight together where a product needs it, and gives each
    device its own part of the gradient. It pays where parameters and slots leave too little memory
    for a batch. It costs more messages in every step than `sharded`. A checkpoint is written and
    read in parts; the model at the end is gathered, array by array, in the memory of each process.
    """
    return Sharded(program, join(), Placement.in_parts, scattered=True).execution()


@dataclass(frozen=True)
class Placement:
    """A mesh of all devices of all processes, and the ways in which arrays lie on it."""

    mesh: jax.sharding.Mesh

    @classmethod
    def of_all_devices(cls) -> Placement:
        """One axis, the rows, over every device of the default one's kind, process by process."""
        default, *_ = jnp.zeros(()).devices()
        devices = jax.devices(default.platform)
        return cls(
            jax.make_mesh((len(devices),), (ROWS,), axis_types=(AxisType.Auto,), devices=devices)
        )

    @property
    def everywhere(self) -> NamedSharding:
        """The whole array on every device."""
        return NamedSharding(self.mesh, PARTED())

    @property
    def by_rows(self) -> NamedSharding:
        """Consecutive rows on each device, as many on all."""
        return NamedSharding(self.mesh, PARTED(ROWS))

    def in_parts(self, shape: tuple[int, ...]) -> NamedSharding:
        """A part on each device, along the first axis that divides; else the whole on every one."""
        for axis, size in enumerate(shape):
            if size > 0 and size % self.mesh.size == 0:
                return NamedSharding(self.mesh, PARTED(*[None] * axis, ROWS))
        return self.everywhere

    def placed(self, leaf: Array, sharding: NamedSharding) -> Array:
        """An array of this process, the same in all, as a sharding says."""
        host = np.asarray(leaf)
        placed: Array = jax.make_array_from_callback(
            host.shape, sharding, lambda index: host[index]
        )
        return placed

    def spread(self, array: npt.NDArray[Any], rows: npt.NDArray[np.integer]) -> Array:
        """Some rows of an array; this process reads those of its own devices alone.

        There have to be as many on each device, so the first is repeated at the end.
        """
        missing = -len(rows) % self.mesh.size
        filled = np.concatenate([rows, np.repeat(rows[:1], missing)])

        def own(index: Any) -> npt.NDArray[Any]:
            shard: npt.NDArray[Any] = array[filled[index[0]]]
            return shard

        shape = (len(filled), *array.shape[1:])
        spread: Array = jax.make_array_from_callback(shape, self.by_rows, own)
        return spread


@final
class Sharded:
    """A program whose batches are shared by the devices of a world.

    Every function takes the whole batch and answers for the whole batch.
    """

    def __init__(
        self,
        program: Program,
        world: World,
        sharding_of: Callable[[Placement, tuple[int, ...]], NamedSharding],
        *,
        scattered: bool,
    ) -> None:
        """`sharding_of` says how an array of the state lies on the devices, by its shape.

        `scattered`: whether in parts.
        """
        self._world, self._scattered = world, scattered
        self._place = Placement.of_all_devices()
        self._sharding_of = partial(sharding_of, self._place)
        self._like: State | None = None
        self._gather = jax.jit(lambda array: array, out_shardings=self._place.everywhere)
        self._compiled = CountingJit(partial(jax.jit, out_shardings=self._place.everywhere))
        self._logits = self._compiled(_cutting(program.logits), static_argnums=0)
        self._training_logits = self._compiled(_cutting(program.training_logits), static_argnums=0)
        self._evaluate = self._compiled(_cutting(program.evaluate), static_argnums=0)
        gradients = _cutting(program.loss_and_gradients)
        self._loss_and_gradients = self._compiled(gradients, static_argnums=0)
        self._train_step = self._compiled(
            _cutting(self._in_place(program.train_step)),
            static_argnums=0,
            donate_argnums=1,
            out_shardings=None,  # the step itself says where its state lies
        )

    def execution(self) -> Execution:
        """The functions that a session calls."""
        return Execution(
            logits=partial(self._whole, self._logits),
            training_logits=partial(self._whole, self._training_logits),
            evaluate=partial(self._whole, self._evaluate),
            loss_and_gradients=partial(self._whole, self._loss_and_gradients),
            train_step=partial(self._whole, self._train_step),
            train_steps=self.train_steps,
            compilations=lambda: self._compiled.traces,
            hold=self.hold,
            release=self.release,
            require_same=partial(require_same_state, world=self._world),
            shared=Shared(self._world, self._scattered, self.like),
        )

    def train_steps(
        self, state: State, inputs: Array, targets: Array, steps: Steps
    ) -> tuple[State, Sequence[Array]]:
        """Steps on batches of the training rows; returns their losses."""
        losses, hosts = [], [np.asarray(inputs), np.asarray(targets)]
        for rows in steps.rows:
            state, loss = self._called(self._train_step, state, hosts, np.asarray(rows))
            losses.append(loss)
        return state, losses

    def hold(self, state: State) -> State:
        """A state of this process, the same in all, placed on the devices."""
        held: State = jax.tree.map(
            lambda leaf: self._place.placed(leaf, self._sharding_of(np.shape(leaf))), state
        )
        shape: Any = jax.ShapeDtypeStruct  # untyped in JAX
        self._like = jax.tree.map(
            lambda leaf: shape(leaf.shape, leaf.dtype, sharding=leaf.sharding), held
        )
        return held

    def like(self) -> State:
        """Shapes, dtypes and shardings of every state that this engine holds."""
        assert self._like is not None  # an executor begins with a state
        return self._like

    def release(self, state: State) -> State:
        """The whole state in NumPy; all processes have to ask for it.

        Array by array, so that no device ever has more than one that is whole.
        """
        with exchange(self._world):
            released: State = jax.tree.map(self._released, state)
        return released

    def _released(self, leaf: Array) -> npt.NDArray[Any]:
        there = leaf if leaf.is_fully_replicated else self._gather(leaf)
        return np.asarray(there.addressable_data(0))

    def _in_place(self, train_step: Callable[..., Any]) -> Callable[..., Any]:
        """The step, whose new state lies as the old one does."""

        def step(state: State, *arrays: Array) -> tuple[State, Array]:
            new, loss = train_step(state, *arrays)
            constrain: Any = jax.lax.with_sharding_constraint  # untyped in JAX
            kept = jax.tree.map(lambda leaf: constrain(leaf, self._sharding_of(leaf.shape)), new)
            return kept, constrain(loss, self._place.everywhere)

        return step

    def _whole(self, function: Any, state: State, *arrays: Array) -> Any:
        hosts = [np.asarray(array) for array in arrays]
        return self._called(function, state, hosts, np.arange(len(hosts[0])))

    def _called(
        self,
        function: Any,
        state: State,
        hosts: Sequence[npt.NDArray[Any]],
        rows: npt.NDArray[np.integer],
    ) -> Any:
        """The function of some rows; waited for, where another process may not come to it."""
        spread = [self._place.spread(host, rows) for host in hosts]
        with exchange(self._world):
            answer = function(len(rows), state, *spread)
            if self._world.size > 1:
                jax.block_until_ready(answer)  # type: ignore[no-untyped-call]  # JAX leaves it so
        return answer


def _cutting(function: Any) -> Any:
    """The function of a batch, given the number of its rows and the batch filled up."""

    def cut(rows: int, state: State, *arrays: Array) -> Any:
        return function(state, *(array[:rows] for array in arrays))

    return cut
