"""The backends that are installed and the way to open a session in one of their engines.

A backend is found by its entry point in the group `twofold.backends`, so that a package of somebody
else's adds one. Nothing here imports a framework: a backend's package describes itself without one,
and the module that needs it is loaded when a session is opened.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import metadata
from typing import Any, Final, Literal, cast

from twofold.engines.session import Executor, Session
from twofold.errors import BadInput, FrameworkMissing, SpecError, UnknownEngine
from twofold.problem.problem import Problem
from twofold.spec.experiment import Device, Experiment
from twofold.spec.layers.kind import LayerKind
from twofold.spec.model import has

ENTRY_POINTS: Final = "twofold.backends"
OWN_DISTRIBUTION: Final = "twofold"
FIRST: Final = ("torch", "flax")
"""The backends that others are compared with come first, wherever they are installed."""


@dataclass(frozen=True)
class EngineDescription:
    """What a person reads about an engine: its name within the backend and one line.

    `device` is the only kind of device that it runs on, None if it runs on all.
    """

    name: str
    summary: str
    device: Device | None = None


@dataclass(frozen=True)
class KnownDifference:
    """A place where a framework knowingly computes something else than the formula says.

    `model` names the oracle's model of it (`twofold.parity.ladder.known_differences`); the other
    fields are what a report prints when that model, and nothing wider, accounts for all that was
    seen.
    """

    model: Literal[
        "bias correction in the engine's precision",
        "clipping by the norm plus 1e-6",
        "running variance of the biased variance",
    ]
    cause: str
    source: str
    consequence: str


@dataclass(frozen=True)
class RefusedLayer:
    """A kind of layer that a framework has not, or computes otherwise: why, and what to do."""

    kind: type[LayerKind]
    reason: str


@dataclass(frozen=True)
class Backend:
    """A backend's description of itself; `opener` and `prober` name functions as "module:name".

    `frameworks` are the modules it needs, `extra` the extra of this distribution that installs
    them. `opener` takes (engine name, problem) and returns an Executor; `prober` takes nothing and
    returns what `twofold doctor` prints: versions, devices, threads, precision flags; `seeds` takes
    problems that differ in their seeds and returns a `twofold.engines.seeds.SeedsTogether`.
    `quick_engines` stand for the backend where there is no time for all: of each group the first
    that exists here.
    """

    name: str
    extra: str
    frameworks: tuple[str, ...]
    engines: tuple[EngineDescription, ...]
    opener: str
    prober: str
    seeds: str = ""
    known_differences: tuple[KnownDifference, ...] = ()
    refused_layers: tuple[RefusedLayer, ...] = ()
    quick_engines: tuple[tuple[str, ...], ...] = ()

    def refusals(self, experiment: Experiment) -> tuple[str, ...]:
        """Why it cannot express an experiment; empty if it can."""
        return tuple(
            refused.reason for refused in self.refused_layers if has(experiment.model, refused.kind)
        )

    def missing_frameworks(self) -> tuple[str, ...]:
        """The modules that are not installed; nothing is imported to find out."""
        return tuple(name for name in self.frameworks if importlib.util.find_spec(name) is None)


@lru_cache(maxsize=1)
def installed() -> Mapping[str, str]:
    """The "module:attribute" of each backend's description by name.

    PyTorch's comes first and Flax's second, then Twofold's others, then those of other packages,
    each by name.

    Raises BadInput where two packages bring a backend of one name.
    """
    found: dict[str, metadata.EntryPoint] = {}
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS), key=_rank):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise BadInput(
                f"backend {point.name}: both {other.value} and {point.value} are installed under "
                "this name; uninstall one of their packages"
            )
    if not found:
        raise BadInput(
            "backends: none installed; install Twofold as a package: pip install --editable ."
        )
    return {name: point.value for name, point in found.items()}


def _rank(point: metadata.EntryPoint) -> tuple[bool, int, str]:
    foreign = point.dist is None or point.dist.name != OWN_DISTRIBUTION
    place = FIRST.index(point.name) if point.name in FIRST else len(FIRST)
    return foreign, place, point.name


def backend_names() -> tuple[str, ...]:
    """The names of the installed backends, PyTorch first."""
    return tuple(installed())


def load_part(target: str) -> Any:
    """A part of a backend by its "module:name"."""
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def backend(name: str) -> Backend:
    """The description of a backend. Raises UnknownEngine."""
    known = installed()
    if name not in known:
        raise UnknownEngine(f"backend: {name!r} given; allowed is {', '.join(known)}")
    return cast(Backend, load_part(known[name]))


def engine_names() -> tuple[str, ...]:
    """Every engine as `backend:engine`, PyTorch first."""
    return tuple(
        f"{name}:{engine.name}" for name in installed() for engine in backend(name).engines
    )


def default_engines(*experiments: Experiment) -> tuple[str, ...]:
    """Every engine but those bound to a kind of device that is not here.

    Of experiments, those engines whose backend can express them all.

    A framework is loaded only to ask for devices that an engine of its backend is bound to.
    """
    names = []
    for owner in map(backend, installed()):
        if any(owner.refusals(experiment) for experiment in experiments):
            continue
        bound = any(engine.device for engine in owner.engines)
        found: tuple[str, ...] = ()
        if bound and not owner.missing_frameworks():
            found = tuple(name.partition(":")[0] for name in probe(owner)["devices"])
        names += [
            f"{owner.name}:{engine.name}"
            for engine in owner.engines
            if engine.device is None or engine.device in found
        ]
    return tuple(names)


def backend_of(engine: str) -> str:
    """The name of the backend that an engine such as `torch:eager` belongs to."""
    return engine.partition(":")[0]


def find_engine(engine: str) -> tuple[Backend, EngineDescription]:
    """The backend and description of an engine such as `torch:eager`. Raises UnknownEngine."""
    known = engine_names()
    if engine not in known:
        close = get_close_matches(engine, known, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UnknownEngine(f"engine: {engine!r} given; allowed is one of {', '.join(known)}{hint}")
    name, _, short = engine.partition(":")
    owner = backend(name)
    return owner, next(item for item in owner.engines if item.name == short)


def require_framework(owner: Backend) -> None:
    """Raise FrameworkMissing, with the command that installs it, if the backend cannot load."""
    missing = owner.missing_frameworks()
    if missing:
        raise FrameworkMissing(
            f"backend {owner.name}: {', '.join(missing)} not installed; "
            f"install with: pip install 'twofold[{owner.extra}]'"
        )


def require_expressible(owner: Backend, experiment: Experiment) -> None:
    """Raise SpecError, with the reasons, if the backend cannot express an experiment."""
    reasons = owner.refusals(experiment)
    if reasons:
        raise SpecError("; ".join(reasons))


def open_session(problem: Problem, engine: str) -> Session:
    """Open a problem in an engine such as `torch:eager`.

    Raises UnknownEngine, FrameworkMissing, DeviceUnavailable, or SpecError for an experiment that
    the backend cannot express.
    """
    owner, description = find_engine(engine)
    require_framework(owner)
    require_expressible(owner, problem.experiment)
    opener = cast("Callable[[str, Problem], Executor]", load_part(owner.opener))
    return Session(engine, problem, opener(description.name, problem))


def probe(owner: Backend) -> dict[str, Any]:
    """What the backend says about its framework here. Raises FrameworkMissing."""
    require_framework(owner)
    return cast("dict[str, Any]", load_part(owner.prober)())
