"""One pair to judge: an architecture, its size, what each side changes, and how the two meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, final

from comparisons.evidence.ports.plan import Plan
from twofold import port

LAYOUT: Final = "NCHW->NHWC"
BACK: Final = "NHWC->NCHW"


@final
@dataclass(frozen=True)
class Setup:
    """`common` holds settings of both sides; `original` and `port` those of one of them alone.

    `meeting` is "torch->jax", "jax->torch", "torch->torch" or "jax->jax". `weights` are given by
    the person where they are not to be found.
    """

    architecture: str
    common: Mapping[str, Any] = field(default_factory=dict)
    original: Mapping[str, Any] = field(default_factory=dict)
    port: Mapping[str, Any] = field(default_factory=dict)
    meeting: str = "torch->jax"
    weights: Mapping[str, Any] | None = None
    seed: int = 0


class Architecture(Protocol):
    """A module of this folder that builds sides."""

    IMAGES: bool
    """Whether `x` is a picture, channels first in PyTorch and last in JAX."""

    def torch_side(self, plan: Plan, seed: int) -> Any:
        """The side of PyTorch."""

    def jax_side(self, plan: Plan, seed: int) -> Any:
        """The side of JAX."""

    def batches(self, plan: Plan, seed: int) -> list[dict[str, Any]]:
        """Batches as PyTorch takes them."""


def pair_of(setup: Setup) -> tuple[port.Pair, list[Plan]]:
    """The pair that a setup describes, and the plans of both sides, which tell what was read."""
    architecture = find(setup.architecture)
    frameworks = setup.meeting.split("->")
    sides: list[Any] = []  # of either framework
    plans: list[Plan] = []
    for framework, own in zip(frameworks, (setup.original, setup.port), strict=True):
        plan = Plan({**own, **{k: v for k, v in setup.common.items() if k not in own}})
        build = architecture.torch_side if framework == "torch" else architecture.jax_side
        sides.append(build(plan, setup.seed + len(sides)))
        plans.append(plan)
    batches = architecture.batches(plans[0], setup.seed)
    layouts: dict[int | str, str] = {}
    if architecture.IMAGES:
        if frameworks[0] == "jax":
            batches = [{**b, "x": b["x"].transpose(0, 2, 3, 1)} for b in batches]
        if frameworks[0] != frameworks[1]:
            layouts = {"x": LAYOUT if frameworks[0] == "torch" else BACK}
    pair = port.Pair(
        sides[0],
        sides[1],
        batches=batches,
        layouts=layouts,
        weights="auto" if setup.weights is None else setup.weights,
    )
    return pair, plans


def require_read(setup: Setup, plans: Sequence[Plan]) -> None:
    """Raise ValueError if nobody asked for a setting: such a mistake would not be planted."""
    original, port = (plan.read for plan in plans)
    unread = {
        *(set(setup.original) - original),
        *(set(setup.port) - port),
        *(set(setup.common) - original - port),
    }
    if unread:
        raise ValueError(f"settings: {', '.join(sorted(unread))} given; no module asks for them")


def find(name: str) -> Architecture:
    """The architecture of a name."""
    from comparisons.evidence.ports import gpt, lstm, resnet, tabular, vit

    found: Mapping[str, Any] = {
        "gpt": gpt, "resnet": resnet, "lstm": lstm, "vit": vit, "tabular": tabular
    }  # fmt: skip
    architecture: Architecture = found[name]
    return architecture
