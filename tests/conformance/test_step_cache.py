"""Compiled steps on disk: found by what they compute, and never believed when they are damaged."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from twofold_torch import step_cache
from twofold_torch.flat_state import FlatState
from twofold_torch.tape import fingerprint
from twofold_torch.traced_graphs import TracedGraphs

from twofold.errors import CompilerMissing


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    return tmp_path / "twofold"


def doubled(values: Tensor) -> tuple[Tensor]:
    return (values * 2.0,)


def weighted(weight: float) -> Callable[[Tensor], tuple[Tensor]]:
    constant = torch.tensor(weight)
    return lambda values: (values * constant,)


def scaled_in_place(values: Tensor) -> tuple[Tensor]:
    return (values.mul_(2.0),)


def test_a_fingerprint_tells_what_is_computed() -> None:
    ones, others = torch.ones(3), torch.arange(3.0)
    first = fingerprint(doubled, [ones])
    assert fingerprint(lambda values: (2.0 * values,), [others]) == first  # the same operation
    different = [
        fingerprint(doubled, [torch.ones(4)]),
        fingerprint(doubled, [torch.ones(3, dtype=torch.float64)]),
        fingerprint(doubled, [torch.ones(6)[::2]]),
        fingerprint(lambda values: (values * 3.0,), [ones]),
        fingerprint(lambda values: (values / 2.0,), [ones]),
        fingerprint(lambda values: (values, values * 2.0), [ones]),
        fingerprint(scaled_in_place, [ones.clone()]),
        fingerprint(weighted(2.0), [ones]),
        fingerprint(weighted(3.0), [ones]),
    ]
    assert len({first, *different}) == 1 + len(different)


def test_a_fingerprint_sees_which_of_two_tensors_is_used() -> None:
    pair = [torch.ones(3), torch.ones(3)]
    found = {
        fingerprint(lambda a, b: (a - b,), pair),
        fingerprint(lambda a, b: (b - a,), pair),
        fingerprint(lambda a, _: (a - a,), pair),
    }
    assert len(found) == 3


def test_a_fingerprint_sees_through_a_gradient() -> None:
    def slope(power: float) -> Callable[[Tensor], tuple[Tensor]]:
        def function(values: Tensor) -> tuple[Tensor]:
            leaf = values.detach().requires_grad_()
            with torch.enable_grad():
                total = (leaf**power).sum()
            return torch.autograd.grad(total, [leaf])

        return function

    ones = torch.ones(3)
    assert fingerprint(slope(2.0), [ones]) == fingerprint(slope(2.0), [ones])
    assert fingerprint(slope(2.0), [ones]) != fingerprint(slope(3.0), [ones])


def test_a_fingerprint_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    fingerprint(lambda values: (torch.nn.functional.dropout(values),), [torch.ones(3)])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_key_is_of_one_processor_version_and_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [step_cache.key("function", "recipe"), step_cache.key("function", "other")]
    keys.append(step_cache.key("other", "recipe"))
    for owner, name, value in (
        (step_cache, "processor_kind", lambda: "another"),
        (torch, "__version__", "0.0"),
        (torch, "get_num_threads", lambda: 99),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, value)
            keys.append(step_cache.key("function", "recipe"))
    assert len(set(keys)) == len(keys)
    assert step_cache.key("function", "recipe") == keys[0]


def test_what_is_damaged_is_not_loaded_and_said(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.mkdir()
    assert step_cache.find("absent") is None
    assert not caplog.records
    (cache / step_cache._name("half", b"whole library")).write_bytes(b"whole lib")
    assert step_cache.find("half") is None
    assert "it is damaged; it is compiled again" in caplog.text
    caplog.clear()
    (cache / step_cache._name("strange", b"no library")).write_bytes(b"no library")
    assert step_cache.find("strange") is None
    assert "cannot be used" in caplog.text
    assert not list(cache.iterdir())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_two_processes_at_once_keep_a_library_each_and_none_takes_the_other_away(
    cache: Path, tmp_path: Path
) -> None:
    for content in (b"one", b"other", b"one"):
        (tmp_path / "made.so").write_bytes(content)
        step_cache.keep("key", tmp_path / "made.so")
    assert sorted(path.read_bytes() for path in cache.iterdir()) == [b"one", b"other"]


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file"))
    step_cache.keep("key", tmp_path / "file")
    assert "compiled steps cannot be kept there: Not a directory" in caplog.text
    assert step_cache.find("key") is None


def counted(state: FlatState, rows: Tensor) -> Tensor:
    """Subtract the sum of rows (rows, 2) from the parameters, count a step, return their mean."""
    state.parameters.sub_(rows.sum(0))
    state.step.add_(1)
    return rows.mean()


def state_of(first: float) -> FlatState:
    return FlatState(torch.tensor([first, 2.0]), (), torch.zeros((), dtype=torch.float64))


def test_without_a_compiler_the_next_best_engine_is_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    function = TracedGraphs(lambda: True, state_of(1.0)).compile(counted)
    with pytest.raises(CompilerMissing, match=r"CXX names 'no-such-compiler', .*torch:eager-fused"):
        function(torch.ones(1, 2))
    assert not cache.exists()


def test_the_next_session_finds_the_library_and_needs_no_compiler(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two, first = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), state_of(1.0)
    assert TracedGraphs(lambda: True, first).compile(counted)(two).item() == 2.5
    (library,) = cache.iterdir()
    with monkeypatch.context() as patched:
        patched.setenv("CXX", "no-such-compiler")
        second = state_of(5.0)
        function = TracedGraphs(lambda: True, second).compile(counted)
        assert [function(two + shift).item() for shift in (0.0, 1.0)] == [2.5, 3.5]
        assert second.parameters.tolist() == [5.0 - 4.0 - 6.0, 2.0 - 6.0 - 8.0]
        assert second.step.item() == 2.0
    assert first.parameters.tolist() == [-3.0, -4.0]
    half = library.read_bytes()[:1000]
    library.unlink()  # and not written over: this process runs it
    library.write_bytes(half)
    third = state_of(1.0)
    assert TracedGraphs(lambda: True, third).compile(counted)(two).item() == 2.5
    assert third.parameters.tolist() == [-3.0, -4.0]
    assert "it is damaged; it is compiled again" in caplog.text


START = """
import sys
from twofold import Experiment, open_session, prepare
experiment = Experiment.load("diabetes").with_values(training__epochs=1)
print(open_session(prepare(experiment), "torch:compile-step").run(2))
print(sorted({"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)))
"""


def test_a_second_start_loads_no_compiler(cache: Path) -> None:
    answers = [
        subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    first, second = (answer.stdout.splitlines() for answer in answers)
    assert first[:-1] == second[:-1]  # the same bits
    assert first[-1] == "['sympy', 'torch._dynamo', 'torch._inductor']"
    assert second[-1] == "[]"
    assert len(list(cache.glob("*.so"))) == 1
