"""Layouts are read, applied and proposed."""

from __future__ import annotations

import numpy as np
import pytest

from twofold.errors import BadInput
from twofold.port.layouts import Layout, propose


def test_a_layout_moves_axes_and_back():
    layout = Layout.parse("NCHW->NHWC")
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    port = layout.to_port(array, "x")
    assert port.shape == (2, 4, 5, 3)
    assert port[1, 2, 3, 0] == array[1, 0, 2, 3]
    assert np.array_equal(layout.to_original(port, "x"), array)
    assert str(layout) == "NCHW->NHWC"


@pytest.mark.parametrize("text", ["NCHW", "NCHW->NHW", "NNHW->NHWN", "->", 3])
def test_what_is_no_layout_is_refused(text):
    with pytest.raises(BadInput, match=r"layouts.*NCHW->NHWC"):
        Layout.parse(text)


def test_a_layout_of_other_rank_is_refused():
    with pytest.raises(BadInput, match="x: shape"):
        Layout.parse("NCHW->NHWC").to_port(np.ones((2, 3)), "x")


@pytest.mark.parametrize(
    ("original", "port", "expected"),
    [
        ((2, 3, 4, 5), (2, 4, 5, 3), "NCHW->NHWC"),
        ((2, 4, 5, 3), (2, 3, 4, 5), "NHWC->NCHW"),
        ((2, 7, 9), (2, 9, 7), "NCL->NLC"),
        ((2, 7), (7, 2), "AB->BA"),
        ((2, 3), (2, 3), None),
        ((2, 3), (3, 3), None),
    ],
)
def test_a_layout_is_proposed_where_only_the_order_differs(original, port, expected):
    assert propose(original, port) == expected
