"""`Step`: a training step of which only its state, batch and loss are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from twofold.errors import BadInput
from twofold.port.side import Answer, Array, Call, Module, Side, Stepper, Tensor
from twofold.port.weights.use import Use


@final
class BlackBox(Side):
    """A step of either framework: `stepper` takes it, `arrays` are its whole state by name.

    All floats of the state are moved and compared.
    """

    def __init__(self, label: str, arrays: Mapping[str, Array], stepper: Stepper) -> None:
        self._label = label
        self._tensors = tuple(_tensor(name, value) for name, value in arrays.items())
        self._stepper = stepper

    @property
    def label(self) -> str:
        """The framework and the name of the function."""
        return self._label

    @property
    def only_steps(self) -> bool:
        """A step has no forward of its own."""
        return True

    @property
    def has_loss(self) -> bool:
        """Its loss comes from the step."""
        return True

    @property
    def has_optimizer(self) -> bool:
        """Its optimizer is inside the step."""
        return True

    def tensors(self) -> tuple[Tensor, ...]:
        """Every array of the state."""
        return self._tensors

    def modules(self) -> tuple[Module, ...]:
        """None: the step is a black box."""
        return ()

    def answer(self, call: Call) -> Answer:
        """Not asked of a step."""
        del call
        raise BadInput(f"{self.label}: a step has no forward")

    def first_use(self, call: Call) -> tuple[Use, ...]:
        """Unknown: names and shapes have to do."""
        del call
        return ()

    def stepper(self) -> Stepper:
        """The step itself: it has no state beside the one given."""
        return self._stepper


def label_of(framework: str, function: Callable[..., Any]) -> str:
    """How a step is called: its framework and the name of its function."""
    return f"{framework} {getattr(function, '__name__', 'step')}"


def state_and_loss(returned: Any, label: str) -> tuple[Any, Any]:
    """What a step returned. Raises BadInput if it is not two things."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise BadInput(f"{label}: {type(returned).__name__} returned; allowed is (state, loss)")
    return returned[0], returned[1]


def _tensor(name: str, value: Array) -> Tensor:
    floats = value.dtype.kind == "f"
    return Tensor(
        name,
        value,
        "parameter" if floats else "buffer",
        trainable=floats,
        attributes={"nonnegative": bool(floats and (value >= 0).all())},
    )
