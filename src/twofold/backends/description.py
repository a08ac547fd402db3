"""What a backend says about itself: a value, made without its framework."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

from twofold.backends.departures import KnownDifference
from twofold.spec.experiment import Device, Experiment, Precision
from twofold.spec.initial_values import BiasInit, Init
from twofold.spec.layers.kind import LayerKind
from twofold.spec.model import has


@dataclass(frozen=True)
class EngineDescription:
    """What a person reads about an engine: its name within the backend and one line.

    `device` is the only kind of device that it runs on, None if it runs on all. An engine of
    `processes` may share a training with other processes (`twofold.engines.world`), and takes part
    only where it is asked for. With `shares` each process weighs the mean over its own rows with
    their share of the batch, and the processes' mean is taken, which the oracle leaves room for.
    `refused_layers` are kinds that this engine cannot do, beside those of its backend. One that is
    fed `from_map` takes some batches at a time from a memory map (`data.memory_map`); the others
    need all training rows in one place.
    """

    name: str
    summary: str
    device: Device | None = None
    processes: bool = False
    shares: bool = False
    refused_layers: tuple[RefusedLayer, ...] = ()
    from_map: bool = False

    def refusals(self, experiment: Experiment, full_name: str = "") -> tuple[str, ...]:
        """Why it cannot run an experiment that its backend can express; empty if it can.

        The sentences call it `full_name`, such as `torch:ddp`, where that is given.
        """
        name = full_name or self.name
        reasons = [
            refused.reason for refused in self.refused_layers if has(experiment.model, refused.kind)
        ]
        if self.processes and experiment.training.micro_batches > 1:
            reasons.append(
                f"training.micro_batches: {experiment.training.micro_batches} given; {name} "
                "allows 1, for processes share each batch already; set it to 1, or start more "
                "processes"
            )
        if self.processes and experiment.rng == "native":
            reasons.append(
                f'rng: "native" given; {name} allows "shared" only, for all processes\' rows '
                "need masks of one draw; run with --set rng=shared"
            )
        return tuple(reasons)


@dataclass(frozen=True)
class EngineChoice:
    """An engine by its name within the backend, and why it was chosen, in a part of a sentence."""

    engine: str
    reason: str


@dataclass(frozen=True)
class NativeInit:
    """How a framework's own linear layer starts, in the words of `twofold.spec.initial_values`."""

    init: Init
    bias_init: BiasInit


@dataclass(frozen=True)
class RefusedLayer:
    """A kind of layer that a framework has not, or computes otherwise: why, and what to do."""

    kind: type[LayerKind]
    reason: str


@dataclass(frozen=True)
class ExportFormat:
    """A file of a trained model for other programs; `writer` and `reader` are "module:name".

    `writer` takes (problem, state) and returns the file's bytes; the problem's rows are not real.
    `reader` takes a path and returns what the file makes of inputs (batch, in_features): a function
    to logits (batch, out_features), of any number of rows, in NumPy. `suffix` is how such files'
    names end, `modules` are needed beside the backend's frameworks and come with the extra
    `export`, `precisions` are those that the format holds.
    """

    name: str
    suffix: str
    writer: str
    reader: str
    modules: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ("float32", "float64", "mixed_bfloat16")

    def missing_modules(self) -> tuple[str, ...]:
        """The modules that are not installed; nothing is imported to find out."""
        return _missing(self.modules)


@dataclass(frozen=True)
class PortSide:
    """A side of a port (`twofold.port`) that a backend knows: its class is "module:name", `target`.

    A bare model is taken as this side where its class comes from the package `takes`, such as
    "flax.nnx", and where it is written together `with_weights`, as (model, weights).
    """

    name: str
    target: str
    takes: str = ""
    with_weights: bool = False


@dataclass(frozen=True)
class CacheVariables:
    """The environment variables of a framework's cache of compiled programs.

    `folder` names the variable that holds the cache's folder: `below` within the one that a process
    is given. A framework that has a cache on disk `by_default` always gets one, another only
    where programs are to outlive their process, together with `keep`, the variables and values with
    which it keeps every program. `elsewhere` are variables of caches that no process may use.
    """

    folder: str
    below: str = "."
    by_default: bool = False
    keep: tuple[tuple[str, str], ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def inherited(self) -> tuple[str, ...]:
        """The variables that a process may not have from the one that starts it."""
        return (self.folder, *self.elsewhere)

    def given(self, cache: str, *, keep: bool) -> dict[str, str]:
        """The variables of a process whose cache is in a folder; with `keep` it is kept."""
        place = {self.folder: os.path.normpath(os.path.join(cache, self.below))}
        if keep:
            return {**place, **dict(self.keep)}
        return place if self.by_default else {}


@dataclass(frozen=True)
class Backend:
    """A backend's description of itself; `opener` and `prober` name functions as "module:name".

    `title` is what people call it. `frameworks` are the modules it needs, `extra` the extra of this
    distribution that installs them, `packages` those whose versions are stored with every result.
    One that is `optional` takes part where no engines are named only if they are installed.
    `opener` takes (engine name, problem) and returns an Executor; `prober` takes nothing and
    returns what `twofold doctor` prints: versions, devices, threads, precision flags; `seeds` takes
    problems that differ in their seeds and returns a `twofold.engines.seeds.SeedsTogether`;
    `chooser` takes (problem, steps) and returns the EngineChoice for who does not choose;
    `native_init` is how its linear layers start with `rng = "native"`, None if that is not known;
    `exports` are the formats in which it writes a trained model for other programs. `port_sides`
    are the sides of a port that it knows; `port_steps` takes (function, state) and returns the side
    of a training step whose state is made of tensors of `port_tensors`, modules.

    `quick_engines` stand for the backend where there is no time for all: of each group the first
    that exists. `best_engines` have each been its fastest in a stored run on a processor: without
    them no sentence says that it was timed at its best. `palette` are the colours of its engines in
    charts, as "#rrggbb". Twofold's own backends are listed by their `place`.
    """

    name: str
    title: str
    extra: str
    frameworks: tuple[str, ...]
    packages: tuple[str, ...]
    engines: tuple[EngineDescription, ...]
    opener: str
    prober: str
    seeds: str = ""
    chooser: str = ""
    known_differences: tuple[KnownDifference, ...] = ()
    refused_layers: tuple[RefusedLayer, ...] = ()
    native_init: NativeInit | None = None
    exports: tuple[ExportFormat, ...] = ()
    port_sides: tuple[PortSide, ...] = ()
    port_steps: str = ""
    port_tensors: tuple[str, ...] = ()
    cache_variables: CacheVariables | None = None
    quick_engines: tuple[tuple[str, ...], ...] = ()
    best_engines: tuple[str, ...] = ()
    palette: tuple[str, ...] = ()
    place: int = 100
    optional: bool = False

    def full_name(self, engine: str) -> str:
        """An engine's name with the backend's, such as `abacus:beads`."""
        return f"{self.name}:{engine}"

    def refusals(self, experiment: Experiment) -> tuple[str, ...]:
        """Why it cannot express an experiment; empty if it can."""
        return tuple(
            refused.reason for refused in self.refused_layers if has(experiment.model, refused.kind)
        )

    def missing_frameworks(self) -> tuple[str, ...]:
        """The modules that are not installed; nothing is imported to find out."""
        return _missing(self.frameworks)


def _missing(modules: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in modules if importlib.util.find_spec(name) is None)
