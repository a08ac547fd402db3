"""What a backend's description decides: who takes part, what a process is given, who is refused."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold.backends import installed
from twofold.backends.description import Backend, CacheVariables, EngineDescription, RefusedLayer
from twofold.engines import registry
from twofold.errors import BadInput, SpecError
from twofold.problem.data import prepare
from twofold.report import contenders
from twofold.results import environment
from twofold.spec.experiment import Experiment
from twofold.spec.layers.dropout import Dropout
from twofold.studies.sweep import best_ratios, quick_engines, ratios_of
from twofold.timing.process import worker_environment
from twofold.timing.result import EngineTiming
from twofold.timing.statistics import Interval

ABACUS = Backend(
    name="abacus",
    title="Abacus",
    extra="abacus",
    frameworks=("no_such_module",),
    packages=("no-such-package",),
    engines=(EngineDescription("beads", "by hand"),),
    opener="abacus:open",
    prober="abacus:probe",
    refused_layers=(RefusedLayer(Dropout, "model: dropout given; beads stay where they are"),),
    cache_variables=CacheVariables("ABACUS_CACHE", elsewhere=("ABACUS_CLOUD",)),
    quick_engines=(("beads",),),
    best_engines=("beads",),
)
ROUNDS = 20
PLAIN = Experiment.load("lesson").with_values(model__dropout=0.0)
WITH_DROPOUT = PLAIN.with_values(model__dropout=0.5)


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend that somebody's package with this description is installed."""

    def install(described: Backend) -> None:
        own = installed.backends()
        owners = {owner.name: owner for owner in (*own, described)}
        monkeypatch.setattr(installed, "targets", lambda: {name: name for name in owners})
        monkeypatch.setattr(installed, "load_part", owners.__getitem__)

    return install


def test_an_optional_backend_takes_part_by_default_where_its_framework_is(describe: Any) -> None:
    describe(ABACUS)
    assert "abacus:beads" in registry.default_engines(), "its absence is for a person to hear of"
    describe(dataclasses.replace(ABACUS, optional=True))
    assert "abacus:beads" not in registry.default_engines()
    assert "abacus:beads" in installed.engine_names(), "it can be asked for by name"
    describe(dataclasses.replace(ABACUS, optional=True, frameworks=("numpy",)))
    assert registry.default_engines()[-1] == "abacus:beads"


def test_a_refused_layer_is_refused_wherever_its_engine_is_named(describe: Any) -> None:
    describe(dataclasses.replace(ABACUS, frameworks=("numpy",)))
    assert "abacus:beads" in registry.default_engines(PLAIN)
    assert "abacus:beads" not in registry.default_engines(PLAIN, WITH_DROPOUT)
    registry.require_engines(["abacus:beads"], PLAIN)
    for ask in (
        lambda: registry.require_engines(["torch:eager", "abacus:beads"], WITH_DROPOUT),
        lambda: registry.open_session(prepare(WITH_DROPOUT), "abacus:beads"),
    ):
        with pytest.raises(SpecError, match="beads stay where they are"):
            ask()


def test_the_packages_of_every_backend_are_stored(describe: Any) -> None:
    describe(ABACUS)
    versions = environment.describe()["versions"]
    assert versions["no-such-package"] is None
    assert versions["numpy"] == np.__version__
    assert {"twofold", "torch", "jax", "jaxlib", "flax", "optax"} <= versions.keys()


def test_a_cache_is_given_where_the_description_says_so(
    describe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ABACUS_CACHE", "ABACUS_CLOUD"):
        monkeypatch.setenv(name, "/somewhere/warm")
    describe(ABACUS)
    assert not {"ABACUS_CACHE", "ABACUS_CLOUD"} & worker_environment([0], "/empty").keys()
    assert worker_environment([0], str(tmp_path), keep=True)["ABACUS_CACHE"] == str(tmp_path)
    always = CacheVariables("ABACUS_CACHE", "sub", by_default=True, keep=(("ABACUS_KEEP", "1"),))
    describe(dataclasses.replace(ABACUS, cache_variables=always))
    variables = worker_environment([0], str(tmp_path))
    assert variables["ABACUS_CACHE"] == os.path.join(tmp_path, "sub")
    assert "ABACUS_KEEP" not in variables
    assert worker_environment([0], str(tmp_path), keep=True)["ABACUS_KEEP"] == "1"


def test_sentences_wait_for_the_best_engines_of_every_backend(describe: Any) -> None:
    """As is so of any backend that is here: what was not measured might have been ahead."""
    everything = {name for own in contenders.best_somewhere().values() for name in own}
    assert contenders.lacking(everything) == ()
    describe(ABACUS)
    assert contenders.lacking(everything) == ("abacus:beads",)
    assert quick_engines(["abacus:beads", "torch:eager"]) == ["torch:eager", "abacus:beads"]


def timed(engine: str, step: float) -> EngineTiming:
    samples = (step,) * ROUNDS
    return EngineTiming(engine, "measured", step_s=Interval(step, step, step), samples_s=samples)


def test_the_best_of_each_backend_is_compared_with_the_best_of_the_first(describe: Any) -> None:
    describe(ABACUS)
    timings = [
        timed("abacus:beads", 6.0),
        timed("flax:jit", 2.0),
        timed("flax:scan", 1.0),
        timed("torch:eager", 4.0),
        timed("torch:compile-step", 2.0),
    ]
    quiet = [True] * ROUNDS
    found = [(each.engine, each.reference) for each in best_ratios(timings, quiet, 0)]
    best = "torch:compile-step"
    assert found == [("flax:scan", best), ("abacus:beads", best)]
    assert [each.median for each in best_ratios(timings, quiet, 0)] == pytest.approx([0.5, 3.0])
    assert best_ratios(timings[1:3], quiet, 0) == []


def test_a_point_of_an_older_sweep_has_one_ratio_or_none() -> None:
    assert ratios_of({"ratio": None}) == []
    assert ratios_of({"ratio": {"median": 2.0}}) == [{"median": 2.0}]
    both = ratios_of({"ratio": {"median": 2.0}, "further_ratios": [{"median": 3.0}]})
    assert [each["median"] for each in both] == [2.0, 3.0]


def test_descriptions_of_this_project_are_whole() -> None:
    for owner in installed.backends():
        known = {engine.name for engine in owner.engines}
        assert set(owner.best_engines) <= known
        assert {name for group in owner.quick_engines for name in group} <= known
        assert owner.palette
        assert all(len(colour) == 7 and colour.startswith("#") for colour in owner.palette)
        assert set(owner.frameworks) <= set(owner.packages)
    colours = [colour for owner in installed.backends() for colour in owner.palette]
    assert len(set(colours)) == len(colours)


def test_an_unknown_backend_is_a_mistake_of_the_person() -> None:
    with pytest.raises(BadInput, match="'mxnet' given"):
        installed.backend("mxnet")
