"""The engines of the installed backends, and the way to open a session in one of them.

Nothing here imports a framework: the module that needs it is loaded when a session is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, cast

from twofold.backends.description import Backend, EngineChoice, EngineDescription
from twofold.backends.installed import backend, backend_of, backends, engine_names, load_part
from twofold.engines.session import Executor, Session
from twofold.errors import FrameworkMissing, SpecError, UnknownEngine
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment

OpenExecutor = Callable[[Problem], Executor]


def default_engines(*experiments: Experiment) -> tuple[str, ...]:
    """Every engine but those bound to a kind of device that is not here, and those of processes.

    Left out is also an optional backend whose frameworks are not installed, and with experiments a
    backend that cannot express them all.

    A framework is loaded only to ask for devices that an engine of its backend is bound to.
    """
    names: list[str] = []
    for owner in backends():
        missing = owner.missing_frameworks()
        if (owner.optional and missing) or any(map(owner.refusals, experiments)):
            continue
        engines = [engine for engine in owner.engines if not engine.processes]
        bound = any(engine.device for engine in engines)
        found: tuple[str, ...] = ()
        if bound and not missing:
            found = tuple(name.partition(":")[0] for name in probe(owner)["devices"])
        names += [
            owner.full_name(engine.name)
            for engine in engines
            if engine.device is None or engine.device in found
        ]
    return tuple(names)


def single_engines() -> tuple[str, ...]:
    """Every engine as `backend:engine` but those of processes, whatever is installed here."""
    return tuple(name for name in engine_names() if not find_engine(name)[1].processes)


def shared_engines() -> tuple[str, ...]:
    """Every engine as `backend:engine` whose processes may share a training."""
    return tuple(name for name in engine_names() if find_engine(name)[1].processes)


def default_engine(problem: Problem, steps: int, backend_name: str | None = None) -> EngineChoice:
    """The engine of a backend, or of the first, for who does not choose: its full name, and why.

    The backend weighs what compiling costs against what it saves in so many steps; one that says
    nothing about that gets its first engine. Raises UnknownEngine or FrameworkMissing.
    """
    owner = backends()[0] if backend_name is None else backend(backend_name)
    require_framework(owner)
    if problem.experiment.data.memory_map:
        return EngineChoice(
            next(name for name in _fed_from_map() if backend_of(name) == owner.name),
            "it takes batches from the memory map",
        )
    if not owner.chooser:
        return EngineChoice(owner.full_name(owner.engines[0].name), "the backend's first engine")
    choose = cast("Callable[[Problem, int], EngineChoice]", load_part(owner.chooser))
    choice = choose(problem, steps)
    return EngineChoice(owner.full_name(choice.engine), choice.reason)


def find_engine(engine: str) -> tuple[Backend, EngineDescription]:
    """The backend and description of an engine such as `torch:eager`. Raises UnknownEngine."""
    known = engine_names()
    if engine not in known:
        close = get_close_matches(engine, known, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UnknownEngine(f"engine: {engine!r} given; allowed is one of {', '.join(known)}{hint}")
    owner = backend(backend_of(engine))
    return owner, next(item for item in owner.engines if owner.full_name(item.name) == engine)


def require_framework(owner: Backend) -> None:
    """Raise FrameworkMissing, with the command that installs it, if the backend cannot load."""
    missing = owner.missing_frameworks()
    if missing:
        raise FrameworkMissing(
            f"backend {owner.name}: {', '.join(missing)} not installed; "
            f"install with: pip install 'twofold[{owner.extra}]'"
        )


def require_expressible(
    owner: Backend, experiment: Experiment, engine: EngineDescription | None = None
) -> None:
    """Raise SpecError, with the reasons, if backend or engine cannot express an experiment."""
    reasons = owner.refusals(experiment)
    if engine is not None:
        reasons += engine.refusals(experiment, owner.full_name(engine.name))
        if experiment.data.memory_map and not engine.from_map:
            reasons += (
                f"data.memory_map: true given; {owner.full_name(engine.name)} needs all training "
                f"rows in one place; allowed are {', '.join(_fed_from_map())}",
            )
    if reasons:
        raise SpecError("; ".join(reasons))


def _fed_from_map() -> tuple[str, ...]:
    """Every engine that takes some batches at a time from a memory map."""
    return tuple(name for name in engine_names() if find_engine(name)[1].from_map)


def require_engines(engines: Iterable[str], *experiments: Experiment) -> None:
    """Raise what says why one of the engines cannot run the experiments here.

    That is UnknownEngine, FrameworkMissing or SpecError.
    """
    for name in engines:
        owner, engine = find_engine(name)
        require_framework(owner)
        for experiment in experiments:
            require_expressible(owner, experiment, engine)


def open_session(problem: Problem, engine: str, executor: OpenExecutor | None = None) -> Session:
    """Open a problem in an engine such as `torch:eager`.

    With `executor`, a class or function that makes an Executor for a problem, the session has that
    one: a loop of your own. `engine` is then a name that you choose, such as `torch:mine`; what
    stands before the colon is the backend whose known differences are allowed.

    Raises UnknownEngine, FrameworkMissing, DeviceUnavailable, or SpecError for an experiment that
    the backend cannot express.
    """
    if executor is not None:
        backend(backend_of(engine))
        return Session(engine, problem, executor(problem))
    require_engines([engine], problem.experiment)
    owner, description = find_engine(engine)
    opener = cast("Callable[[str, Problem], Executor]", load_part(owner.opener))
    return Session(engine, problem, opener(description.name, problem))


def probe(owner: Backend) -> dict[str, Any]:
    """What the backend says about its framework here. Raises FrameworkMissing."""
    require_framework(owner)
    return cast("dict[str, Any]", load_part(owner.prober)())
