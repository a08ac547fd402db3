"""There and back is the identity, bit for bit, for every transform; merged and tied by hand."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import BadInput
from twofold.port.weights import axes as axes_text
from twofold.port.weights import pieces as pieces_text
from twofold.port.weights.links import Move
from twofold.port.weights.weights import Inventory, Weights

TYPES = (np.float64, np.float32, np.float16, np.int32, np.bool_)


def weights_of(moves, original, port):
    read = [
        Move(pieces_text.parse(a), pieces_text.parse(b), axes_text.parse(text), "given", *merged)
        for a, b, text, *merged in moves
    ]
    return Weights(Inventory("original", original), Inventory("port", port), tuple(read))


def bits(rng, shape, dtype):
    """Any bits at all: not-a-numbers with payloads and negative zeros too."""
    raw = rng.integers(0, 2 if dtype is np.bool_ else 256, (*shape, np.dtype(dtype).itemsize))
    return raw.astype(np.uint8).view(dtype).reshape(shape)


@st.composite
def mappings(draw):
    """A mapping of random transforms: orders, splits, reversals, pieces, stacks, interleavings."""
    size = st.integers(1, 4)
    original, port, moves = {}, {}, []
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["moved", "packed", "fused", "stacked", "interleaved"]))
        o, p = f"o{number}", f"p{number}"
        rank = draw(st.integers(1, 4))
        sizes = [draw(size) for _ in range(rank)]
        order = draw(st.permutations(range(rank)))
        names = "abcd"[:rank]
        turned = [draw(st.booleans()) for _ in range(rank)]
        right = [("-" if turned[i] else "") + names[i] for i in order]
        text = f"{' '.join(names)} -> {' '.join(right)}"
        there = tuple(sizes[i] for i in order)
        parts = draw(st.integers(1, 3))
        if kind == "moved":
            cut = draw(size)
            original[o], port[p] = (cut * sizes[0], *sizes[1:]), (*there, cut)
            text = f"(z={cut} {names[0]}) {' '.join(names[1:])} -> {' '.join(right)} z"
            moves.append((o, p, text))
        elif kind in ("packed", "fused"):
            starts = np.cumsum([0, *[draw(size) for _ in range(parts)]])
            whole = (int(starts[-1]), *sizes[1:])
            for part, (start, stop) in enumerate(itertools.pairwise(starts)):
                shapes = {names[0]: int(stop - start)}
                shape = tuple(shapes.get(names[i], sizes[i]) for i in order)
                if kind == "packed":
                    original[o], port[f"{p}.{part}"] = whole, shape
                    moves.append((f"{o}[{start}:{stop}]", f"{p}.{part}", text))
                else:
                    port[p], original[f"{o}.{part}"] = whole, shape
                    back = axes_text.parse(text)
                    left = str(axes_text.Axes(back.right, back.left))
                    moves.append((f"{o}.{part}", f"{p}[{start}:{stop}]", _turned(left)))
        elif kind == "stacked":
            port[p] = (parts, *there)
            for part in range(parts):
                original[f"{o}.{part}"] = tuple(sizes)
                moves.append((f"{o}.{part}", f"{p}[{part}]", text))
        else:
            heads = draw(size)
            original[o] = (heads * parts * sizes[0], *sizes[1:])
            for part in range(parts):
                port[f"{p}.{part}"] = (*there, heads)
                taken = "1" if parts == 1 else f"{part}/{parts}"
                left = f"(z={heads} {taken} {names[0]}={sizes[0]}) {' '.join(names[1:])}"
                moves.append((o, f"{p}.{part}", f"{left} -> {' '.join(right)} z"))
    return weights_of(moves, original, port)


def _turned(text):
    """A minus on the left means the same on the right."""
    left, right = text.split("->")
    for name in re.findall(r"-(\w)", left):
        right = re.sub(rf"\b{name}\b", f"-{name}", right)
    return f"{left.replace('-', '')}->{right}"


@settings(derandomize=True, max_examples=150, deadline=None)
@given(mappings(), st.integers(0, 2**32 - 1), st.sampled_from(TYPES))
def test_there_and_back_is_the_identity(weights, seed, dtype):
    rng = np.random.default_rng(seed)
    state = {name: bits(rng, shape, dtype) for name, shape in weights.original.shapes.items()}
    there = weights.convert(state)
    assert {name: a.shape for name, a in there.items()} == dict(weights.port.shapes)
    back = weights.convert_back(there)
    assert {name: a.tobytes() for name, a in back.items()} == {
        name: np.ascontiguousarray(a).tobytes() for name, a in state.items()
    }
    other = {name: bits(rng, shape, dtype) for name, shape in weights.port.shapes.items()}
    again = weights.convert(weights.convert_back(other))
    assert {name: a.tobytes() for name, a in again.items()} == {
        name: np.ascontiguousarray(a).tobytes() for name, a in other.items()
    }
    assert weights.left_over == ((), ())


@settings(derandomize=True, max_examples=50, deadline=None)
@given(mappings())
def test_a_mapping_comes_back_from_toml(weights):
    from twofold.port.weights import toml

    again = toml.parse(toml.dump(weights), weights.original, weights.port)
    state = {
        name: np.random.default_rng(0).normal(size=shape)
        for name, shape in weights.original.shapes.items()
    }
    first, second = weights.convert(state), again.convert(state)
    assert all(np.array_equal(first[name], second[name]) for name in weights.port.shapes)


MERGED = weights_of(
    [("ih", "b", "a -> a", True), ("hh", "b", "a -> a", True)],
    {"ih": (3,), "hh": (3,)},
    {"b": (3,)},
)


def test_merged_values_are_added_and_their_gradients_copied():
    ih, hh = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.25, -1.0])
    np.testing.assert_array_equal(MERGED.to_port({"ih": ih, "hh": hh})["b"], [1.5, 2.25, 2.0])
    back = MERGED.to_original({"b": ih})
    np.testing.assert_array_equal(back["ih"], ih)
    np.testing.assert_array_equal(back["hh"], np.zeros(3))
    gradient = MERGED.to_original({"b": hh}, "gradients")
    np.testing.assert_array_equal(gradient["ih"], hh)
    np.testing.assert_array_equal(gradient["hh"], hh)
    assert MERGED.links[0].kind == "merged"


def test_a_sum_on_the_originals_side_is_taken_apart():
    turned = weights_of(
        [("b", "ih", "a -> a", True), ("b", "hh", "a -> a", True)],
        {"b": (3,)},
        {"ih": (3,), "hh": (3,)},
    )
    there = turned.to_port({"b": np.ones(3)})
    np.testing.assert_array_equal(there["ih"] + there["hh"], np.ones(3))
    np.testing.assert_array_equal(turned.to_original({"ih": np.ones(3), "hh": np.ones(3)})["b"], 2)


TIED = weights_of(
    [("tok", "tok", "v d -> v d"), ("tok", "head", "v d -> d v")],
    {"tok": (4, 3)},
    {"tok": (4, 3), "head": (3, 4)},
)


def test_gradients_of_tied_tensors_are_added():
    tok, head = np.random.default_rng(0).normal(size=(2, 4, 3))
    there = TIED.to_port({"tok": tok})
    np.testing.assert_array_equal(there["head"], tok.T)
    gradient = TIED.to_original({"tok": tok, "head": head.T}, "gradients")
    np.testing.assert_array_equal(gradient["tok"], tok + head)
    assert TIED.to_port({"tok": tok}, "gradients") == {}  # it says nothing of each alone


def test_gradients_are_the_adjoint_of_values():
    """<g, V x> = <V^T g, x> for merged, tied and packed ones together."""
    weights = weights_of(
        [
            ("ih", "b", "a -> a", True),
            ("hh", "b", "a -> a", True),
            ("tok", "tok", "v d -> v d"),
            ("tok", "head", "v d -> d v"),
            ("w[0:2]", "q", "o i -> i o"),
            ("w[2:6]", "k", "(h o=2) i -> i h -o"),
        ],
        {"ih": (3,), "hh": (3,), "tok": (4, 3), "w": (6, 5)},
        {"b": (3,), "tok": (4, 3), "head": (3, 4), "q": (5, 2), "k": (5, 2, 2)},
    )
    rng = np.random.default_rng(1)
    x = {name: rng.normal(size=shape) for name, shape in weights.original.shapes.items()}
    g = {name: rng.normal(size=shape) for name, shape in weights.port.shapes.items()}
    there, back = weights.to_port(x), weights.to_original(g, "gradients")
    left = sum(float((g[name] * there[name]).sum()) for name in g)
    right = sum(float((back[name] * x[name]).sum()) for name in x)
    assert left == pytest.approx(right, rel=1e-13)


def test_shapes_that_do_not_fit_name_both():
    weights = weights_of([("w", "k", "a b -> b a")], {"w": (2, 3)}, {"k": (2, 3)})
    message = "w and k: axes 'a b -> b a': 'b' is 3 long, not 2"
    with pytest.raises(BadInput, match=re.escape(message)):
        weights.convert({"w": np.zeros((2, 3))})


def test_parts_without_a_partner_are_masks_and_names():
    weights = weights_of([("w[0:2]", "k", "a -> a")], {"w": (6,), "n": ()}, {"k": (2,), "x": (3,)})
    assert weights.left_over == (("w[2:6]", "n"), ("x",))
    np.testing.assert_array_equal(weights.loose_original["w"], [False] * 2 + [True] * 4)
    assert weights.loose_port["x"].all()
