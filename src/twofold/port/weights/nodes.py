"""The parts of a side's tensors as nodes of its flow of data, in the order of use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import final

from twofold.port.side import Tensor
from twofold.port.weights.readings import Part, all_parts, renamed
from twofold.port.weights.use import Use


@final
@dataclass(frozen=True)
class Program:
    """What is known of a side: its tensors, and how its program uses them."""

    tensors: Mapping[str, Tensor]
    uses: tuple[Use, ...]
    label: str = ""

    @classmethod
    def of(cls, tensors: Iterable[Tensor], uses: Sequence[Use] = (), label: str = "") -> Program:
        """From a side's tensors and uses; buffers that only count calls stay among them."""
        return cls({tensor.name: tensor for tensor in tensors}, tuple(uses), label)


@final
@dataclass(frozen=True)
class Node:
    """A part of a tensor in its program.

    `use` is its place in the order of use, None if the program does not use it; `after` the indices
    of the nodes nearest upstream. `alias` marks a second use of a tied tensor, which needs no
    partner.
    """

    part: Part
    shape: tuple[int, ...]
    owner: str = ""
    use: int | None = None
    after: frozenset[int] = field(default=frozenset())
    alias: bool = False
    role: str = ""
    operation: str = ""

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
        return sum(size > 1 for size in self.shape) > 1


def nodes_of(program: Program) -> list[Node]:
    """The nodes of a program: in the order of use, then those that it does not use."""
    stacked = _stacks(program)
    parts = _parts_by_name(program, stacked)
    nodes: list[Node] = []
    made: dict[int, list[int]] = {}
    for place, use in enumerate(program.uses):
        if use.name not in program.tensors:
            continue
        before = [made.get(other, []) for other in sorted(use.after)]
        upstream = frozenset(index for indices in before for index in indices)
        found = parts[use.name, use.part]
        made[place] = list(range(len(nodes), len(nodes) + len(found)))
        for index, part in enumerate(found):
            pairwise = len(found) > 1 and len(before) == 1 and len(before[0]) == len(found)
            after = frozenset((before[0][index],)) if pairwise else upstream
            nodes.append(replace(_node(part, program, use), use=place, after=after))
    used = {(use.name, use.part) for use in program.uses}
    for key, found in parts.items():
        if key not in used and key[0] not in {name for name, _ in used if key[1] is None}:
            nodes += [_node(part, program, None) for part in found]
    return nodes


def _stacks(program: Program) -> dict[str, int]:
    """The tensors that the program takes layer by layer, and how many layers there are."""
    return {
        use.name: program.tensors[use.name].value.shape[0]
        for use in program.uses
        if use.part is not None and use.name in program.tensors
    }


def _parts_by_name(
    program: Program, stacked: Mapping[str, int]
) -> dict[tuple[str, int | None], list[Part]]:
    one_layer = {
        name: replace(tensor, value=tensor.value[0]) if name in stacked else tensor
        for name, tensor in program.tensors.items()
    }
    parts: dict[tuple[str, int | None], list[Part]] = {}
    for name in program.tensors:
        for layer in range(stacked[name]) if name in stacked else (None,):
            parts[name, layer] = []
    for part in all_parts(one_layer):
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
