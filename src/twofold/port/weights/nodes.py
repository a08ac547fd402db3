"""The parts of a side's tensors as nodes of its flow of data, in the order of use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import final

from twofold.port.side import Call, Module, Side, Tensor
from twofold.port.weights.cells import all_parts
from twofold.port.weights.readings import Part, renamed
from twofold.port.weights.use import Use


@final
@dataclass(frozen=True)
class Program:
    """What is known of a side: its tensors, how its program uses them, kinds of modules by path."""

    tensors: Mapping[str, Tensor]
    uses: tuple[Use, ...]
    label: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        tensors: Iterable[Tensor],
        uses: Sequence[Use] = (),
        label: str = "",
        modules: Iterable[Module] = (),
    ) -> Program:
        """From what a side answers; modules that are not told are known by their own tensors."""
        every = {tensor.name: tensor for tensor in tensors}
        kinds = {tensor.module: tensor.owner for tensor in every.values() if tensor.owner}
        kinds |= {module.name: module.kind for module in modules}
        return cls(every, tuple(uses), label, kinds)


def program_of(side: Side, call: Call) -> Program:
    """What is known of a side that runs one call. Raises what the side raises."""
    side.look(call)
    return Program.of(side.tensors(), side.first_use(call), side.label, side.modules())


@final
@dataclass(frozen=True)
class Node:
    """A part of a tensor in its program.

    `use` is its place in the order of use, None if the program does not use it; `after` the indices
    of the nodes nearest upstream. `alias` marks a second use of a tied tensor, which needs no
    partner. `pack` numbers the packed matrix that it was split from. `beside` says that it has the
    shape of the outputs of the matrix before it, as a bias does.
    """

    part: Part
    shape: tuple[int, ...]
    owner: str = ""
    use: int | None = None
    after: frozenset[int] = field(default=frozenset())
    alias: bool = False
    role: str = ""
    operation: str = ""
    pack: int | None = None
    beside: bool = False

    @property
    def name(self) -> str:
        """The name of the tensor that it is a part of, the first of them if it is a sum."""
        return self.part.pieces[0].name

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def heavy(self) -> bool:
        """Whether it is a matrix of some kind, and not a vector beside one."""
        if self.role:
            return self.role.endswith(("kernel", "embedding"))
        return not self.beside and sum(size > 1 for size in self.shape) > 1


def nodes_of(program: Program, *, gates: bool = True) -> list[Node]:
    """The nodes of a program: in the order of use, then those that it does not use.

    `gates` takes recurrent cells apart, which makes sense where the other side has cells too.
    """
    stacked = _stacks(program)
    parts = _parts_by_name(program, stacked, gates)
    nodes: list[Node] = []
    made: dict[int, list[int]] = {}
    seen: set[tuple[str, int | None]] = set()
    for place, use in enumerate(program.uses):
        if use.name not in program.tensors:
            continue
        before = [made.get(other, []) for other in sorted(use.after)]
        upstream = frozenset(index for indices in before for index in indices)
        layer = use.part if use.name in stacked else None
        if layer is None and use.part is not None and (use.name, None) in seen:
            continue  # another row of a tensor that is no stack of layers
        seen.add((use.name, layer))
        found = parts[use.name, layer]
        made[place] = list(range(len(nodes), len(nodes) + len(found)))
        for index, part in enumerate(found):
            pairwise = len(found) > 1 and len(before) == 1 and len(before[0]) == len(found)
            after = frozenset((before[0][index],)) if pairwise else upstream
            node = replace(_node(part, program, use), use=place, after=after)
            nodes.append(_as_outputs(node, nodes))
    for key, found in parts.items():
        if key not in seen:
            nodes += [_node(part, program, None) for part in found]
    return nodes


def _as_outputs(node: Node, nodes: Sequence[Node]) -> Node:
    """A tensor of several axes that lies as outputs of the matrix before it: a bias of heads."""
    if len(node.after) != 1 or node.part.reading is not None or len(node.shape) < 2:
        return node
    kernel = nodes[next(iter(node.after))]
    if kernel.part.reading is None or not kernel.heavy:
        return node
    outputs = [
        (label, size)
        for label, size in zip(kernel.part.reading, kernel.shape, strict=True)
        if label.startswith("out")
    ]
    if node.shape != tuple(size for _, size in outputs):
        return node
    reading = tuple(label for label, _ in outputs)
    return replace(node, part=replace(node.part, reading=reading), beside=True)


def _stacks(program: Program) -> dict[str, int]:
    """The tensors that the program takes layer by layer, and how many layers there are."""
    layers: dict[str, set[int | None]] = {}
    for use in program.uses:
        if use.name in program.tensors:
            layers.setdefault(use.name, set()).add(use.part)
    return {
        name: len(parts)
        for name, parts in layers.items()
        if None not in parts and parts == set(range(program.tensors[name].value.shape[0]))
    }


def _parts_by_name(
    program: Program, stacked: Mapping[str, int], gates: bool
) -> dict[tuple[str, int | None], list[Part]]:
    one_layer = {
        name: replace(tensor, value=tensor.value[0]) if name in stacked else tensor
        for name, tensor in program.tensors.items()
    }
    parts: dict[tuple[str, int | None], list[Part]] = {}
    for name in program.tensors:
        for layer in range(stacked[name]) if name in stacked else (None,):
            parts[name, layer] = []
    for part in all_parts(one_layer, program.modules, gates=gates):
        name = part.pieces[0].name
        if name in stacked:
            for layer in range(stacked[name]):
                parts[name, layer].append(renamed(part, layer))
        else:
            parts[name, None].append(part)
    return parts


def _node(part: Part, program: Program, use: Use | None) -> Node:
    tensor = program.tensors[part.pieces[0].name]
    shape = part.pieces[0].shape(tensor.value.shape)
    role = part.role
    if use is not None and use.axes and len(use.axes) == len(shape):
        if not role or use.again:
            role = {"contract": "kernel", "convolve": "kernel", "gather": "embedding"}.get(
                use.operation, ""
            )
            part = replace(part, role=role, reading=use.axes)
    elif use is not None and use.again:
        role, part = "", replace(part, role="", reading=None)
    return Node(
        part=part,
        shape=shape,
        owner=tensor.owner,
        alias=tensor.tied_to is not None or (use is not None and use.again),
        role=role,
        operation=use.operation if use is not None else "",
    )
