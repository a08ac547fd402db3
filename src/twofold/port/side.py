"""What a side of a pair is: somebody's model, asked in NumPy and in its own names and layouts.

A side is a `Step`, or one that a backend describes, such as `Torch` or `Nnx`. Each lives in the
backend of its framework and is the only place that knows it. What a side answers is a plain value
of NumPy arrays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

from twofold.errors import BadInput, SideFailed
from twofold.port.where.prints import Array as Array

if TYPE_CHECKING:
    from twofold.port.causes.sites import Change, Site
    from twofold.port.weights.use import Use
    from twofold.port.where.operations import Operation
    from twofold.port.where.tables import Replacement, Table

Mode: TypeAlias = Literal["evaluation", "training"]
Precision: TypeAlias = Literal["float64", "float32", "bfloat16"]
Want: TypeAlias = Literal[
    "outputs", "loss", "gradients", "buffers", "modules", "masks", "operations", "sites", "tables"
]


@final
@dataclass(frozen=True)
class Tensor:
    """A parameter or a buffer of a side, as the side itself names and lays it out.

    `name` is such as "blocks.0.attn.in_proj_weight" or "blocks.0.attn.q.kernel"; what stands before
    the last dot is the module that holds it, and `owner` is that module's kind, such as
    "torch.nn.Linear", "flax.nnx.Linear", "flax.linen.Dense" ("" if unknown). `attributes` are what
    rules of mapping need: num_heads, embed_dim, groups, transposed, padding_idx, kernel_size and
    so on. `tied_to` is the name under which the same storage comes first, None if it is the first.
    """

    name: str
    value: Array
    role: Literal["parameter", "buffer"]
    trainable: bool = True
    owner: str = ""
    attributes: Mapping[str, object] = field(default_factory=dict)
    tied_to: str | None = None

    @property
    def module(self) -> str:
        """The path of the module that holds it; "" for the model itself."""
        return self.name.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """The last part of the name, such as "weight"."""
        return self.name.rpartition(".")[2]


@final
@dataclass(frozen=True)
class Module:
    """A module of a side: its path, its kind as in `Tensor.owner`, and what it was built with."""

    name: str
    kind: str
    attributes: Mapping[str, object] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Cast:
    """A place where the model itself narrows numbers: `where` is "file.py:12", the types are names.

    `source` is "float64" where a value was narrowed, and "constant" where one was made narrow.
    """

    where: str
    source: str
    target: str
    count: int = 1


@final
@dataclass(frozen=True)
class Mask:
    """The mask of one dropout: what was kept (bool), with the probability of keeping."""

    kept: Array
    keep: float


@final
@dataclass(frozen=True)
class Call:
    """One question to a side.

    `tensors` are values for all or some of its tensors, in its names and layouts; what is missing
    stays as the person has it. `batch` is what the person gives for one step: a tuple or mapping of
    NumPy arrays, in the side's layouts. `projection` has one array for each output: the default
    loss is the sum of their products, for sides without a loss. `masks` are used by the dropouts
    in the order of their calls; None draws anew, () keeps every unit. `forced` replaces outputs of
    modules. `wide` keeps casts inside in float64. `inputs` names what the model takes of the batch.
    `changes` run operations in another way than they are written, `replacements` give tables
    other numbers. `gradient_noise` is added to the gradients before an optimizer takes them.
    """

    tensors: Mapping[str, Array]
    batch: Any
    mode: Mode = "evaluation"
    precision: Precision = "float64"
    want: frozenset[Want] = frozenset({"outputs"})
    inputs: tuple[int | str, ...] | None = None
    projection: Mapping[str, Array] | None = None
    masks: tuple[Mask, ...] | None = ()
    forced: Mapping[str, Array] = field(default_factory=dict)
    wide: bool = True
    changes: tuple[Change, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    gradient_noise: Mapping[str, Array] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Answer:
    """What a side computed, in NumPy, in its own names and layouts.

    `outputs` by path ("" for a single array, "0", "logits", "past.0.key"); `modules` by module
    path in the order in which they were done, with ".1" and so on behind it for the later parts of
    an output of several arrays; `module_inputs` has the first array that each takes. `operations`
    are all that depend on the batch, in their order; `sites` are those that `Call.changes` can
    change, () for a side that knows none. `tables` are numbers that depend on nothing that is
    judged, where they meet what does.
    `gradients` has every trainable parameter that the loss reaches; `unreached` names the others.
    `draws` are source lines of random draws other than dropout masks; `notes` are sentences on
    what a reader must know of this run, such as an input that the model changed in place.
    """

    outputs: Mapping[str, Array]
    loss: Array | None = None
    gradients: Mapping[str, Array] = field(default_factory=dict)
    buffers: Mapping[str, Array] = field(default_factory=dict)
    modules: Mapping[str, Array] = field(default_factory=dict)
    module_inputs: Mapping[str, Array] = field(default_factory=dict)
    masks: tuple[Mask, ...] = ()
    casts: tuple[Cast, ...] = ()
    unreached: tuple[str, ...] = ()
    draws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    sites: tuple[Site, ...] = ()
    tables: tuple[Table, ...] = ()


@final
@dataclass(frozen=True)
class StepAnswer:
    """One optimizer step: the loss before it, and every parameter and buffer after it.

    Where sites are wanted, `sites` has the optimizer, if it can be changed, and `constants` the
    plain numbers in the program of the step.
    """

    loss: Array
    tensors: Mapping[str, Array]
    casts: tuple[Cast, ...] = ()
    notes: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()
    constants: tuple[float, ...] = ()


class MasksDoNotFit(SideFailed):
    """The masks given are not those that the dropouts of this side take."""


class Stepper(ABC):
    """An optimizer at work on a side: its own state goes on from step to step."""

    @abstractmethod
    def step(self, call: Call) -> StepAnswer:
        """One step from `call.tensors` (a complete state) on `call.batch`."""


class Side(ABC):
    """A model as a person has it. Whatever is asked, it is afterwards as it was before.

    Errors of the person's own code come as `SideFailed`, whose message has the place.
    """

    @property
    @abstractmethod
    def label(self) -> str:
        """What a report calls it: "PyTorch GPT", "NNX GPT"."""

    @property
    @abstractmethod
    def has_loss(self) -> bool:
        """Whether the person gave a loss."""

    @property
    @abstractmethod
    def has_optimizer(self) -> bool:
        """Whether the person gave an optimizer."""

    @property
    def only_steps(self) -> bool:
        """Whether the side is a black-box training step, without a forward of its own."""
        return False

    def look(self, call: Call) -> None:  # noqa: B027 - most sides know all without a run
        """Run once, so that `tensors` and `modules` can say what only a run shows."""

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """Every parameter and buffer, in the order in which the side defines them."""

    @abstractmethod
    def modules(self) -> tuple[Module, ...]:
        """Every module, outermost first; () for a side without modules."""

    @abstractmethod
    def answer(self, call: Call) -> Answer:
        """Run the model once. Raises SideFailed."""

    @abstractmethod
    def first_use(self, call: Call) -> tuple[Use, ...]:
        """How the program first uses each tensor, in the order of the program."""

    @abstractmethod
    def stepper(self) -> Stepper:
        """A fresh optimizer of this side. Raises BadInput without one."""

    def part(self, path: str) -> Side:
        """The side of one module of this one, by its path. Raises BadInput."""
        raise BadInput(
            f"part: {path!r} given; {self.label} has no modules; give the function of that part "
            'and its own parameters, and "" for its path'
        )
