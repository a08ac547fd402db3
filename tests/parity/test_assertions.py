"""`assert_parity` and the pytest fixture, as people use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import twofold
from comparisons.evidence.mutants import bases
from twofold.backends.installed import load_part
from twofold.engines.registry import find_engine, open_session
from twofold.engines.session import Executor
from twofold.errors import ParityDiverges, SpecError, UnknownEngine
from twofold.parity.assertions import story
from twofold.parity.judging.verdict import ParityReport
from twofold.problem.problem import Problem

pytest_plugins = ["pytester", "twofold.pytest_plugin"]


def with_decay(problem: Problem, decay: float) -> Problem:
    optimizer = problem.experiment.optimizer.model_copy(update={"weight_decay": decay})
    experiment = problem.experiment.model_copy(update={"optimizer": optimizer})
    return replace(problem, experiment=experiment)


def test_a_correct_problem_passes_and_the_report_comes_back() -> None:
    report = twofold.assert_parity(
        bases.problem("classes", "float32"), engines=["torch:eager"], steps=2
    )
    assert report.passed
    assert {rung.engine for rung in report.rungs} == {"torch:eager"}


def test_a_correct_session_passes_and_keeps_its_state() -> None:
    session = open_session(bases.problem("outputs", "float64"), "torch:eager")
    session.run(5)
    before = session.state()
    assert twofold.assert_parity(session, steps=2).passed
    after = session.state()
    assert after.step == before.step == 5
    for name, array in before.parameters.items():
        assert (after.parameters[name] == array).all()


def test_a_wrong_session_raises_with_the_whole_story() -> None:
    """A session whose engine decays by 1e-4 where its problem says 1e-2."""
    right = bases.problem("classes", "float32")
    session: Any = open_session(with_decay(right, 1e-4), "torch:eager")
    session.problem = right
    with pytest.raises(AssertionError) as caught:
        twofold.assert_parity(session, steps=1)
    assert isinstance(caught.value, ParityDiverges)
    text = str(caught.value)
    assert "torch:eager float32, update (fresh): diverges" in text
    for word in ("worst element", "computed", "oracle", "bound", "ratio", "likely cause"):
        assert word in text
    assert "weight decay 0.0001: it accounts for every element" in text


def test_a_loop_of_ones_own_has_its_own_name_and_a_backends_known_differences() -> None:
    problem = bases.problem("outputs", "float64")

    def executor(given: Problem) -> Executor:
        owner, _ = find_engine("flax:jit")
        opener: Callable[[str, Problem], Executor] = load_part(owner.opener)
        return opener("jit", given)

    report = twofold.assert_parity(open_session(problem, "flax:mine", executor), steps=1)
    assert {rung.engine for rung in report.rungs} == {"flax:mine"}
    with pytest.raises(UnknownEngine, match="backend: 'nobodys' given; allowed is torch, flax"):
        open_session(problem, "nobodys:mine", executor)


def test_requests_that_contradict_themselves_are_refused() -> None:
    problem = bases.problem("classes", "float32")
    with pytest.raises(SpecError, match="one precision"):
        twofold.assert_parity(problem, engines=["torch:eager"], precisions=["float64"])
    with pytest.raises(SpecError, match="session"):
        twofold.assert_parity(open_session(problem, "torch:eager"), engines=["torch:eager"])


def test_no_engines_do_not_pass() -> None:
    with pytest.raises(AssertionError, match="no rungs"):
        twofold.assert_parity(bases.problem("classes", "float32"), engines=[])
    empty = ParityReport(twofold.Experiment.load("digits"), {}, ())
    assert "no rungs" in story(empty)


def test_the_fixture_takes_a_problem(parity: Any) -> None:
    assert parity(bases.problem("binary", "float64"), engines=["torch:eager"], steps=2).passed


def test_the_fixture_finds_a_spec_beside_the_test(pytester: pytest.Pytester) -> None:
    pytester.makefile(
        ".toml",
        mine="""
        [model]
        hidden = [4]
        [data]
        rows = 40
        batch_size = 16
        [training]
        steps = 4
        """,
    )
    pytester.makepyfile(
        """
        def test_mine(parity):
            parity("mine.toml", engines=["torch:eager"], precisions=["float64"], steps=2)

        def test_missing(parity):
            parity("absent.toml", engines=["torch:eager"])
        """
    )
    outcome = pytester.runpytest_inprocess("-p", "twofold.pytest_plugin", "-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=1, failed=1)
    outcome.stdout.fnmatch_lines(["*absent.toml*"])
