"""The notation of axes, against NumPy written out by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

from twofold.errors import BadInput
from twofold.port.weights import axes, pieces
from twofold.port.weights.compose import ways

RNG = np.random.default_rng(0)


def carried(text, left, right_shape):
    right = np.zeros(right_shape)
    a, b = axes.parse(text).views(left, right)
    b[...] = a
    return right


@pytest.mark.parametrize(
    ("text", "shape", "by_hand"),
    [
        ("out in -> in out", (6, 4), lambda a: a.T),
        ("(h d=3) i -> i h d", (6, 4), lambda a: a.reshape(2, 3, 4).transpose(2, 0, 1)),
        ("o (h d=2) -> h d o", (3, 4), lambda a: a.reshape(3, 2, 2).transpose(1, 2, 0)),
        ("o i h w -> h w i o", (2, 3, 4, 5), lambda a: a.transpose(2, 3, 1, 0)),
        ("i o w -> -w i o", (2, 3, 4), lambda a: a.transpose(2, 0, 1)[::-1]),
        ("(g i) o w -> -w i (g o)", (4, 3, 5), None),
        ("1 1 d -> d", (1, 1, 5), lambda a: a[0, 0]),
        ("o c h w -> (h w c) o", (2, 3, 4, 5), lambda a: a.transpose(2, 3, 1, 0).reshape(60, 2)),
        ("-> ", (), lambda a: a),
    ],
)
def test_axes_move_as_numpy_written_by_hand(text, shape, by_hand):
    left = RNG.normal(size=shape)
    if by_hand is None:
        text = "(g=2 i) o w -> -w i (g=2 o)"
        wanted = np.zeros((5, 2, 6))
        for g in range(2):
            for i in range(2):
                for o in range(3):
                    for w in range(5):
                        wanted[4 - w, i, 3 * g + o] = left[2 * g + i, o, w]
    else:
        wanted = by_hand(left)
    np.testing.assert_array_equal(carried(text, left, wanted.shape), wanted)


@pytest.mark.parametrize(
    ("text", "other", "alike"),
    [
        ("vocab dim -> vocab dim", "out in -> out in", True),
        ("vocab dim -> vocab dim", "out in -> in out", False),
        ("(h d) i -> i h d", "(a b) c -> c a b", True),
        ("(h d) i -> i h d", "(a b) c -> c (a b)", False),
        ("a 0/3 -> a", "b 0/3 -> b", True),
        ("a 0/3 -> a", "b 1/3 -> b", False),
        ("h o -> -h o", "h o -> h o", False),
    ],
)
def test_axes_by_other_names_move_alike(text, other, alike):
    assert axes.parse(text).moves_as(axes.parse(other)) is alike


def test_an_index_takes_interleaved_parts():
    left = RNG.normal(size=(2 * 3 * 4, 5))
    wanted = left.reshape(2, 3, 4, 5)[:, 1].reshape(8, 5).T
    np.testing.assert_array_equal(carried("(h 1/3 d=4) i -> i (h d=4)", left, (5, 8)), wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "'->' is missing"),
        ("a b -> b", "a stands on one side only"),
        ("a a -> a a", "a stands twice on one side"),
        ("(a b -> a b", "')' is missing"),
        ("a ((b) c) -> a b c", "a bracket within a bracket"),
        ("a ) -> a", "')' without axes before it"),
        ("a 5 -> a", "5 given; allowed are names, 1 and 0/3"),
        ("a 3/3 -> a", "3/3 given; allowed is 0/3 to 2/3"),
        ("a $ -> a", "cannot read '$'"),
    ],
)
def test_what_cannot_be_read_is_said(text, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        axes.parse(text)


@pytest.mark.parametrize(
    ("text", "left", "right", "message"),
    [
        ("a b -> b a", (2, 3), (2, 3), "'b' is 3 long, not 2"),
        ("a b -> b a", (2, 3, 4), (2, 3), "2 dimensions in 'a b', the tensor has shape (2, 3, 4)"),
        ("(a b=4) -> a b", (6,), (2, 3), "6 is no multiple of 4"),
        ("(a b) -> (b a)", (6,), (6,), "write the size of a, as a=2"),
    ],
)
def test_sizes_that_do_not_fit_are_said(text, left, right, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        axes.parse(text).sizes(left, right)


@pytest.mark.parametrize(
    "text", ["w", "a.b[0:4]", "a.b[3]", "a.b[:, 2:5]", "a.b[1, 0:4]", "a[:, :, 1]"]
)
def test_pieces_are_read_and_written(text):
    assert str(pieces.parse(text)) == text


@pytest.mark.parametrize("text", ["a[", "a[x]", "a[3:1]", "a[2:]", "a[1][2]", "[1]"])
def test_pieces_that_cannot_be_read_are_refused(text):
    with pytest.raises(BadInput):
        pieces.parse(text)


def test_a_piece_is_what_numpy_takes():
    array = RNG.normal(size=(4, 5, 6))
    np.testing.assert_array_equal(pieces.parse("a[1, 2:4]").view(array), array[1, 2:4])
    np.testing.assert_array_equal(pieces.parse("a[:, 3]").view(array), array[:, 3])
    with pytest.raises(BadInput, match=re.escape("a[4]: the tensor has shape (4, 5, 6)")):
        pieces.parse("a[4]").view(array)


def test_ways_by_what_axes_mean():
    def written(*given):
        return [str(way) for way in ways(*given)]

    dense = ("out", "in"), (8, 6)
    assert written(*dense, ("in", "out"), (6, 8)) == ["out in -> in out"]
    assert written(*dense, ("in", "out.heads", "out.dim"), (6, 2, 4)) == [
        "(heads dim=4) in -> in heads dim"
    ]
    assert written(("out", "in", "h", "w"), (8, 3, 2, 2), ("in", "out"), (12, 8)) == [
        "out of_in of_h of_w -> (of_h of_w=2 of_in=3) out",
        "out of_in of_h of_w -> (of_in of_h=2 of_w=2) out",
    ]
    assert written(*dense, ("in", "out"), (8, 6)) == ["a b -> a b"]  # only shapes are left


def test_ways_by_shapes_alone_are_all_orders_that_fit():
    assert [str(way) for way in ways(None, (4, 4), None, (4, 4))] == ["a b -> a b", "a b -> b a"]
    assert [str(way) for way in ways(None, (2, 3, 5), None, (5, 2, 3))] == ["a b c -> c a b"]
    assert ways(None, (4, 4), None, (4, 5)) == ()
    assert str(ways(("out", "in"), (4, 4), None, (4, 4))[0]) == "a b -> b a"
