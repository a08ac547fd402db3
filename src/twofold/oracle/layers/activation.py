"""Activations as layers; the functions themselves are in `twofold.oracle.activations`."""

from __future__ import annotations

from twofold.layers.activation import Activation
from twofold.layers.sequence import Placed
from twofold.oracle.activations import activate
from twofold.oracle.bounded import Bounded, multiply
from twofold.oracle.layers.applied import Applied, Pass, Pulled


def activation(placed: Placed, inputs: Bounded, given: Pass) -> Applied:
    """Each number by itself, and its derivative there."""
    assert isinstance(placed.layer, Activation)
    layers = given.arithmetic.layers
    outputs, derivative = activate(placed.layer.function, inputs, layers)
    return Applied(outputs, lambda delta, _: Pulled(multiply(delta, derivative, layers)))
