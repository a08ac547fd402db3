"""The pytest plugin: fixtures that climb the parity ladder in a person's own tests.

    def test_my_experiment(parity):
        parity("mine.toml", engines=["torch:eager", "flax:jit"])

    def test_my_port(same):
        same(torch_module, nnx_model, (x,), layouts={0: "NCHW->NHWC"})

Importing this module loads no framework and little else, for pytest imports it in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from twofold.engines.session import Session
    from twofold.parity.judging.verdict import ParityReport
    from twofold.port.pair import Pair
    from twofold.port.report import PortReport
    from twofold.problem.problem import Problem
    from twofold.spec.experiment import Experiment, Precision


class AssertParity(Protocol):
    """What the fixture `parity` is: `twofold.assert_parity`, which also takes a spec's name."""

    def __call__(
        self,
        subject: Experiment | Problem | Session | str | Path,
        *,
        engines: Sequence[str] | None = None,
        precisions: Sequence[Precision] | None = None,
        steps: int = 20,
    ) -> ParityReport:
        """Climb the ladder; raises AssertionError with the whole story unless it holds."""


class AssertSame(Protocol):
    """What the fixture `same` is: `twofold.port.assert_same` on a pair, or on two models."""

    def __call__(
        self, original: Pair | Any, port: Any = None, inputs: Any = None, **options: Any
    ) -> PortReport:
        """Raises AssertionError with the whole story unless they are the same function."""


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> AssertParity:
    """Assert parity of a built-in experiment, a TOML file beside the test, or a value."""
    folder = request.path.parent

    def asserted(
        subject: Experiment | Problem | Session | str | Path,
        *,
        engines: Sequence[str] | None = None,
        precisions: Sequence[Precision] | None = None,
        steps: int = 20,
    ) -> ParityReport:
        __tracebackhide__ = True
        from twofold.parity.assertions import assert_parity
        from twofold.spec.experiment import Experiment

        if isinstance(subject, str | Path):
            beside = folder / subject
            subject = Experiment.load(str(beside if beside.is_file() else subject))
        return assert_parity(subject, engines=engines, precisions=precisions, steps=steps)

    return asserted


@pytest.fixture
def same() -> AssertSame:
    """Assert that a `twofold.port.Pair`, or an original and its port, are the same function."""

    def asserted(
        original: Pair | Any, port: Any = None, inputs: Any = None, **options: Any
    ) -> PortReport:
        __tracebackhide__ = True
        from twofold.port.pair import assert_same, pair_of

        if port is None:
            return assert_same(original, **options)
        pair, options = pair_of(original, port, inputs, **options)
        return assert_same(pair, **options)

    return asserted
