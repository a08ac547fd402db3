"""Activations as layers; the functions themselves are in `twofold.parity.oracle.activations`."""

from __future__ import annotations

from twofold.parity.oracle.activations import activate
from twofold.parity.oracle.bounded import Bounded, multiply
from twofold.parity.oracle.layers.applied import Applied, Pass, Pulled
from twofold.spec.layers.activation import Activation
from twofold.spec.layers.sequence import Placed


def activation(placed: Placed, inputs: Bounded, given: Pass) -> Applied:
    """Each number by itself, and its derivative there."""
    assert isinstance(placed.layer, Activation)
    layers = given.arithmetic.layers
    outputs, derivative = activate(placed.layer.function, inputs, layers)
    return Applied(outputs, lambda delta, _: Pulled(multiply(delta, derivative, layers)))
