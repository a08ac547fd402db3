"""Which engine is taken for who does not choose one, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.engines.registry import default_engine, open_session
from twofold.errors import UnknownEngine
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))


def problem(dropout: float = 0.0) -> Problem:
    return prepare(
        Experiment.load("lesson").with_values(model__dropout=dropout, data__rows=256, device="cpu")
    )


@pytest.mark.parametrize(
    ("dropout", "needed"),
    # three layers: 18.4 s of compiling at 220 us saved a layer, 650 us with masks
    [(0.0, 27_900), (0.2, 9_400)],
)
def test_pytorch_compiles_where_the_steps_repay_it(dropout: float, needed: int) -> None:
    few = default_engine(problem(dropout), needed - 1)
    assert few.engine == "torch:eager-fused"
    assert few.reason == f"compiling pays from about {needed:,} steps, not {needed - 1:,}"
    many = default_engine(problem(dropout), needed)
    assert many.engine == "torch:compile-step"
    assert f"{needed:,} steps repay compiling" in many.reason


@pytest.mark.parametrize("backend", ["flax", "equinox"])
def test_jax_compiles_a_loop_for_any_number_of_steps(backend: str) -> None:
    for steps in (1, 10**6):
        assert default_engine(problem(), steps, backend).engine == f"{backend}:scan"


def test_without_a_compiler_pytorch_stays_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    choice = default_engine(problem(), 10**6)
    assert choice.engine == "torch:eager-fused"
    assert "CXX names 'no-such-compiler'" in choice.reason


def test_steps_that_were_compiled_before_are_taken_again() -> None:
    from twofold_torch.remembered import remembering, was_compiled

    given = problem()
    assert not was_compiled(given)
    remembering(given, lambda *_: None)(None, None, None)  # type: ignore[arg-type, return-value]
    assert was_compiled(given)
    assert default_engine(given, 1).engine == "torch:compile-step"
    assert not was_compiled(problem(dropout=0.2))


def test_the_choice_can_be_opened() -> None:
    choice = default_engine(problem(), 10)
    assert open_session(problem(), choice.engine).run(2).shape == (2,)


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(UnknownEngine):
        default_engine(problem(), 10, "abacus")
