"""How the tests judge a mapping: pairs that a person wrote down, and the forward in float64."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from twofold.port.side import Call
from twofold.port.weights import Program, find, program_of


@dataclass
class Case:
    """An original and a port, what to call them with, and the pairs of pieces as people know them.

    `pairs` are "piece of the original" and "piece of the port"; `left` is what has no partner.
    """

    original: object
    port: object
    batch: tuple
    port_batch: tuple | None = None
    pairs: list = field(default_factory=list)
    left: tuple = ((), ())

    @cached_property
    def programs(self):
        """What is known of both sides; traced once."""
        return (
            program_of(self.original, Call({}, self.batch)),
            program_of(self.port, Call({}, self.port_batch or self.batch)),
        )

    def distance(self, weights, seed=0):
        return distance(self, weights, seed)


def distance(case, weights, seed=0):
    """The largest difference of the outputs in float64, for values at random, over their size."""
    rng = np.random.default_rng(seed)
    values = {t.name: _random(rng, t) for t in case.original.tensors() if t.tied_to is None}
    for name, mask in weights.loose_original.items():
        values[name] = np.where(mask, 0, values[name])
    there = weights.to_port(values)
    for name, mask in weights.loose_port.items():
        there.setdefault(name, np.zeros(mask.shape))
    a = case.original.answer(Call(values, case.batch)).outputs
    b = case.port.answer(Call(there, case.port_batch or case.batch)).outputs
    assert a.keys() == b.keys()
    return max(float(np.abs(a[key] - b[key]).max() / np.abs(a[key]).max()) for key in a)


def _random(rng, tensor):
    if tensor.value.dtype.kind != "f":
        return tensor.value
    drawn = rng.normal(size=tensor.value.shape) * 0.3
    positive = "var" in tensor.leaf and tensor.role == "buffer"
    return np.abs(drawn) + 0.5 if positive else drawn


def renamed(program, seed, blind):
    """A program with every module called otherwise and defined in another order.

    `blind` takes away the kinds of layers and the names of leaves too, so that only the use of a
    tensor and its shape can tell what it is.
    """
    rng = random.Random(seed)
    modules = sorted({name.rpartition(".")[0] for name in program.tensors} | set(program.modules))
    numbers = rng.sample(range(10 * len(modules) + 10), len(modules))
    paths: dict[str, str] = {}
    for module, number in zip(modules, numbers, strict=True):  # parents come before their children
        parent, _, _ = module.rpartition(".")
        inside = _inside_a_cell(module, program.modules)
        own = module.rpartition(".")[2] if inside else f"zz{number}"
        above = paths.get(parent, "") if parent else ""
        paths[module] = f"{above}.{own}".lstrip(".")
    leaves = rng.sample(range(10 * len(program.tensors) + 10), len(program.tensors))
    names = {}
    for (name, tensor), number in zip(program.tensors.items(), leaves, strict=True):
        names[name] = (
            f"yy{number}" if blind else f"{paths[tensor.module]}.{tensor.leaf}".lstrip(".")
        )
    tensors = [
        replace(
            tensor,
            name=names[name],
            owner="" if blind else tensor.owner,
            tied_to=None if tensor.tied_to is None else names[tensor.tied_to],
        )
        for name, tensor in program.tensors.items()
    ]
    rng.shuffle(tensors)
    uses = tuple(replace(use, name=names[use.name]) for use in program.uses)
    kinds = {} if blind else {paths[path]: kind for path, kind in program.modules.items()}
    return Program({t.name: t for t in tensors}, uses, program.label, kinds), names


def _inside_a_cell(module, kinds):
    parent = module.rpartition(".")[0]
    return bool(parent) and ("Cell" in kinds.get(parent, "") or _inside_a_cell(parent, kinds))


def right_and_wanted(weights, pairs, names):
    """How many pairs that a person wrote down a mapping has, and those that it lacks or adds."""
    found = {(str(move.original), str(move.port)) for move in weights.moves}
    wanted = {(one, _renamed_piece(other, names)) for one, other in pairs}
    return len(found & wanted), sorted(wanted - found), sorted(found - wanted)


def _renamed_piece(piece, names):
    name, bracket, index = piece.partition("[")
    return names.get(name, name) + bracket + index


def identity(program):
    return {name: name for name in program.tensors}


def found(case, how, seed=0):
    """The mapping with the port's own names, renamed, or blind; and the names in use."""
    a, b = case.programs
    if how == "own names":
        return find(a, b), identity(b)
    b, names = renamed(b, seed, how == "blind")
    return find(a, b), names
