"""Which weight is which: found, written down, and carried from one side to the other."""

from twofold.port.weights.choices import Choice
from twofold.port.weights.find import find
from twofold.port.weights.links import Link, Move
from twofold.port.weights.nodes import Program, program_of
from twofold.port.weights.use import Use
from twofold.port.weights.weights import Weights

__all__ = ["Choice", "Link", "Move", "Program", "Use", "Weights", "find", "program_of"]
