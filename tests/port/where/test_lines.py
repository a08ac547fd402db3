"""Fingerprints, turns and pairs by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from twofold.port.where.lines import departure
from twofold.port.where.operations import Operation
from twofold.port.where.pairing import paired
from twofold.port.where.prints import Known, fingerprint
from twofold.port.where.turns import turn_between, turns_between

RANDOM = np.random.default_rng(0)


def test_a_fingerprint_does_not_see_the_order():
    value = RANDOM.normal(size=(2, 3, 4, 5))
    known = Known([fingerprint(value)])
    assert known.holds(fingerprint(value.transpose(0, 2, 3, 1)))
    assert known.holds(fingerprint(value[::-1]))
    assert not known.holds(fingerprint(value * (1 + 1e-8)))
    assert not known.holds(fingerprint(value[:1]))


def test_a_fingerprint_of_infinities_counts_them_and_nan_has_none():
    value = np.array([1.0, -np.inf, 2.0])
    assert Known([fingerprint(value)]).holds(fingerprint(value[::-1]))
    assert not Known([fingerprint(value)]).holds(fingerprint(np.array([1.0, 0.0, 2.0])))
    assert fingerprint(np.array([np.nan])) is None
    assert fingerprint(np.zeros(0)) is None


SOME = arrays.arrays(np.float64, st.integers(1, 8), elements=st.floats(allow_nan=False))


@given(SOME, SOME)
def test_no_number_is_too_large_or_too_small_for_a_fingerprint(value, other):
    known = Known([fingerprint(value)])
    assert known.holds(fingerprint(value[::-1]))
    if np.isinf(value).sum() != np.isinf(other).sum():
        assert not known.holds(fingerprint(other))


@given(SOME)
def test_half_of_a_tensor_has_another_fingerprint(value):
    half = value / 2
    is_changed = bool((half[np.isfinite(half)] != value[np.isfinite(value)]).any())
    assert Known([fingerprint(value)]).holds(fingerprint(half)) != is_changed


def chain(values, modules=None, moves=()):
    """Operations one behind the other, at lines 1, 2 and so on."""
    return [
        Operation(
            f"op{i}",
            f"m.py:{i + 1}",
            "" if modules is None else modules[i],
            (fingerprint(value),),
            (i - 1,) if i else (),
            i in moves,
        )
        for i, value in enumerate(values)
    ]


def known(values):
    return Known([fingerprint(value) for value in values])


def test_the_departure_is_the_first_value_that_the_other_never_has():
    values = [RANDOM.normal(size=5) for _ in range(4)]
    other = known([values[0], values[1] + 1e-6, values[2] + 1e-6, values[3] + 1e-6])
    assert departure(chain(values), lambda _: True, other) == "m.py:2"


def test_another_way_between_two_values_that_both_have_is_no_departure():
    values = [RANDOM.normal(size=5) for _ in range(4)]
    other = known([values[0], values[2], values[3] + 1e-6])
    assert departure(chain(values), lambda _: True, other) == "m.py:4"


def test_what_only_moves_numbers_is_no_departure():
    values = [RANDOM.normal(size=5) for _ in range(3)]
    other = known([values[0]])
    assert departure(chain(values, moves={1}), lambda _: True, other) == "m.py:3"


def test_only_operations_of_the_place_count():
    values = [RANDOM.normal(size=5) for _ in range(3)]
    run = chain(values, modules=["a", "b", "b"])
    assert departure(run, lambda module: module == "b", known([])) == "m.py:2"
    assert departure(run, lambda module: module == "c", known([])) == ""


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
def test_a_turn_is_found_by_the_numbers_where_shapes_leave_it_open(order):
    value = RANDOM.normal(size=(3, 3, 3))
    turned = value.transpose(order)
    found = turn_between(value, turned * (1 + 1e-9 * RANDOM.normal(size=(3, 3, 3))))
    assert np.array_equal(found(value), turned)


def test_a_turn_of_wrong_numbers_is_that_of_the_others():
    value = RANDOM.normal(size=(2, 2, 2, 2))
    last = value.transpose(0, 2, 3, 1)
    wrong = RANDOM.normal(size=(2, 2, 2, 2))
    found = turns_between({"right": (value, last), "wrong": (value, wrong)})
    assert found["wrong"].order == found["right"].order == (0, 2, 3, 1)


def test_a_turn_by_shape_and_none_for_another_count():
    value = RANDOM.normal(size=(2, 3, 4, 5))
    assert np.array_equal(
        turn_between(value, value.transpose(0, 2, 3, 1))(value), value.transpose(0, 2, 3, 1)
    )
    flat = turn_between(value, value.reshape(2, 60))
    assert np.array_equal(flat(value), value.reshape(2, 60))
    assert turn_between(value, value[:1]) is None


class FakeLink:
    def __init__(self, original, port):
        self.original, self.port = original, port


def test_modules_with_the_same_weights_belong_together():
    links = [
        FakeLink(("enc.0.in_proj",), ("layers.0.q.kernel", "layers.0.k.kernel")),
        FakeLink(("enc.0.out.weight",), ("layers.0.o.kernel",)),
        FakeLink(("head.0.weight",), ("head.kernel",)),
    ]
    original = {"enc.0.out": 8, "enc.0.act": 8, "enc.0": 8, "head.0": 4, "head.1": 4, "head": 4}
    port = {"layers.0.q": 8, "layers.0.o": 8, "layers.0.relu": 8, "layers.0": 8, "head": 4}
    found = paired(original, port, links)
    assert found["enc.0"] == "layers.0"
    assert found["enc.0.out"] == "layers.0.o"
    assert found["head.0"] == "head"  # the innermost; around it the counts are unlike
    assert "head" not in found
    assert found["enc.0.act"] == "layers.0.relu"
