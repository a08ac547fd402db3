"""The table of backends: names, wrong names, missing frameworks."""

from __future__ import annotations

import dataclasses
from importlib import metadata

import pytest

from twofold.backends import installed
from twofold.engines import registry
from twofold.errors import BadInput, FrameworkMissing, UnknownEngine


def test_engines_are_named_by_backend_and_pytorch_comes_first():
    names = installed.engine_names()
    assert {"torch:eager", "torch:compile", "flax:op-by-op", "flax:jit"} <= set(names)
    assert names[0] == "torch:eager"
    assert len(set(names)) == len(names)


def test_both_backends_describe_every_engine_in_a_line():
    for name in installed.backend_names():
        owner = installed.backend(name)
        assert owner.name == name
        for engine in owner.engines:
            assert engine.summary
            assert "\n" not in engine.summary


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("torch:eagr", "did you mean torch:eager"),
        ("tensorflow:eager", "allowed is one of torch:eager"),
        ("torch", "'torch' given"),
        ("", "'' given"),
    ],
)
def test_an_unknown_engine_is_named_with_the_nearest(engine, says):
    with pytest.raises(UnknownEngine, match=says):
        registry.find_engine(engine)


def test_an_unknown_backend():
    with pytest.raises(UnknownEngine, match="'mxnet' given; allowed is torch, flax"):
        installed.backend("mxnet")


def test_a_missing_framework_gives_the_command_that_installs_it():
    absent = dataclasses.replace(installed.backend("flax"), frameworks=("no_such_module",))
    assert absent.missing_frameworks() == ("no_such_module",)
    for ask in (registry.require_framework, registry.probe):
        with pytest.raises(FrameworkMissing, match=r"pip install 'twofold\[flax\]'"):
            ask(absent)


def entry(name, value, distribution):
    """An entry point as an installed package would have it."""
    dist = type("Distribution", (), {"name": distribution})()
    return metadata.EntryPoint(name, value, installed.ENTRY_POINTS)._for(dist)


@pytest.fixture
def packages(monkeypatch):
    """Pretend that packages with these entry points are installed, and no others."""

    def install(*points):
        table = {installed.ENTRY_POINTS: points}
        monkeypatch.setattr(installed.metadata, "entry_points", lambda group: table[group])
        installed.targets.cache_clear()

    yield install
    installed.targets.cache_clear()


def test_a_package_of_somebody_else_adds_a_backend_after_our_own(packages):
    packages(
        entry("abacus", "abacus:BACKEND", "twofold-abacus"),
        entry("flax", "twofold_flax:BACKEND", "twofold"),
        entry("torch", "twofold_torch:BACKEND", "twofold"),
    )
    assert installed.backend_names() == ("torch", "flax", "abacus")


def test_two_packages_with_one_name_are_refused(packages):
    packages(
        entry("torch", "twofold_torch:BACKEND", "twofold"),
        entry("torch", "other:BACKEND", "other"),
    )
    with pytest.raises(BadInput, match="torch: both twofold_torch:BACKEND and other:BACKEND"):
        installed.backend_names()


def test_without_an_installed_package_the_way_to_install_it_is_said(packages):
    packages()
    with pytest.raises(BadInput, match="pip install --editable"):
        installed.backend_names()
