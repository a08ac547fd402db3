"""The lower envelope of lines, against the lowest line at many places."""

from __future__ import annotations

from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from twofold.envelope import crossing, lower_envelope

NUMBERS = st.integers(min_value=0, max_value=50).map(float)


def test_three_engines_by_hand() -> None:
    """1 + 10 (n - 1), 5 + 2 (n - 1), 12 + (n - 1): they meet at n = 1.5 and n = 8."""
    lines = [(5.0, 2.0), (1.0, 10.0), (12.0, 1.0), (13.0, 3.0)]
    assert lower_envelope(lines) == [(1, 1.0), (0, 1.5), (2, 8.0)]
    assert crossing(lines[1], lines[0]) == 1.5
    assert lower_envelope([]) == []


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8), st.integers(1, 200))
def test_the_envelope_is_the_lowest_line_everywhere(
    lines: list[tuple[float, float]], steps: int
) -> None:
    found = lower_envelope(lines)
    assert [start for _, start in found] == sorted(start for _, start in found)
    index, _ = found[bisect_right([start for _, start in found], steps) - 1]
    values = [first + (steps - 1) * slope for first, slope in lines]
    assert values[index] <= min(values) + 1e-9 * max(1.0, abs(min(values)))
