"""The suprema of |f'| and |f''| of the activations, by dense sampling of float64 derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from twofold.parity.oracle.activations import SMOOTH, activate
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import exact


@pytest.mark.parametrize("name", SMOOTH)
def test_suprema(name: str) -> None:
    # Beyond 12 all derivatives are monotone and within 1e-3 of their limits 0 or 1 (f'') and 0.
    spacing = 1e-4
    z = np.arange(-12, 12, spacing)
    _, derivative = activate(name, exact(z, arithmetic_for("float32")), arithmetic_for("float32"))  # type: ignore[arg-type]
    slope = np.abs(derivative.value).max()
    curvature = np.abs(np.diff(derivative.value)).max() / spacing  # a mean of f'' over the cell
    smooth = SMOOTH[name]
    assert slope <= smooth.slope <= slope * 1.001
    assert curvature <= smooth.curvature <= curvature * 1.001
