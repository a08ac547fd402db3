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
from twofold.errors import BadInput, FrameworkMissing, UnknownEngine
from twofold.problem.problem import Problem
from twofold.spec.experiment import Device
from twofold.spec.initial_values import BiasInit, Init

ENTRY_POINTS: Final = "twofold.backends"
OpenExecutor = Callable[[Problem], Executor]
OWN_DISTRIBUTION: Final = "twofold"
FIRST: Final = "torch"
"""The backend that others are compared with comes first, wherever it is installed."""


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
    """A place where a framework is known to differ from the formula.

    `model` names the oracle's model of it (`twofold.parity.ladder.known_differences`); a report
    prints the other fields when every element is within its bound with that model.
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
class NativeInit:
    """How a framework's own linear layer starts, in the words of `twofold.spec.initial_values`."""

    init: Init
    bias_init: BiasInit


@dataclass(frozen=True)
class Backend:
    """A backend's description of itself; `opener` and `prober` name functions as "module:name".

    `frameworks` are the modules it needs, `extra` the extra of this distribution that installs
    them. `opener` takes (engine name, problem) and returns an Executor; `prober` takes nothing and
    returns what `twofold doctor` prints: versions, devices, threads, precision flags; `seeds` takes
    problems that differ in their seeds and returns a `twofold.engines.seeds.SeedsTogether`;
    `native_init` is how its linear layers start with `rng = "native"`, None if that is not known.
    """

    name: str
    extra: str
    frameworks: tuple[str, ...]
    engines: tuple[EngineDescription, ...]
    opener: str
    prober: str
    seeds: str = ""
    known_differences: tuple[KnownDifference, ...] = ()
    native_init: NativeInit | None = None

    def missing_frameworks(self) -> tuple[str, ...]:
        """The modules that are not installed; nothing is imported to find out."""
        return tuple(name for name in self.frameworks if importlib.util.find_spec(name) is None)


@lru_cache(maxsize=1)
def installed() -> Mapping[str, str]:
    """The "module:attribute" of each backend's description by name.

    PyTorch's comes first, then Twofold's others, then those of other packages, each by name.

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


def _rank(point: metadata.EntryPoint) -> tuple[bool, bool, str]:
    foreign = point.dist is None or point.dist.name != OWN_DISTRIBUTION
    return foreign, point.name != FIRST, point.name


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


def default_engines() -> tuple[str, ...]:
    """Every engine but those bound to a kind of device that is not here.

    A framework is loaded only to ask for devices that an engine of its backend is bound to.
    """
    names = []
    for owner in map(backend, installed()):
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


def open_session(problem: Problem, engine: str, executor: OpenExecutor | None = None) -> Session:
    """Open a problem in an engine such as `torch:eager`.

    With `executor`, a class or function that makes an Executor for a problem, the session has that
    one: a loop of your own. `engine` is then a name that you choose, such as `torch:mine`; what
    stands before the colon is the backend whose known differences are allowed.

    Raises UnknownEngine, FrameworkMissing or DeviceUnavailable.
    """
    if executor is not None:
        backend(backend_of(engine))
        return Session(engine, problem, executor(problem))
    owner, description = find_engine(engine)
    require_framework(owner)
    opener = cast("Callable[[str, Problem], Executor]", load_part(owner.opener))
    return Session(engine, problem, opener(description.name, problem))


def probe(owner: Backend) -> dict[str, Any]:
    """What the backend says about its framework here. Raises FrameworkMissing."""
    require_framework(owner)
    return cast("dict[str, Any]", load_part(owner.prober)())
