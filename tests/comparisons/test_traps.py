"""Every trap still is what it says it is; and the frame that lists, runs and shows them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import pytest
import torch

from comparisons import traps as command
from comparisons.atlas.traps.check import (
    LIBRARIES,
    cannot_run,
    check,
    in_fresh_process,
)
from comparisons.atlas.traps.code import code_of, shared_code
from comparisons.atlas.traps.outcome import observe, plain, same
from comparisons.atlas.traps.page import page
from comparisons.atlas.traps.registry import THEMES, all_traps, find, search, select
from comparisons.atlas.traps.trap import Raises, Trap, Warns
from twofold.errors import BadInput

TRAPS = all_traps()
CONSTRAINTS = (Path(__file__).parents[2] / "constraints.txt").read_text(encoding="utf-8")
VERIFIED = re.findall(r"^([\w.-]+)==(\S+)", CONSTRAINTS, re.MULTILINE)
AS_VERIFIED = {name: version(name).partition("+")[0] for name in LIBRARIES}.items() <= dict(
    VERIFIED
).items()
"""Whether the versions here are those of which the traps speak."""


def marked(trap):
    return pytest.param(trap, id=trap.id, marks=[pytest.mark.slow] if trap.slow else [])


def settings():
    """What a trap must leave as it found it."""
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.random.get_rng_state().tolist(),
        torch.tensor(1e-40).mul(1.0).item(),
        bool(jax.config.jax_enable_x64),
        jax.config.jax_default_matmul_precision,
        bool(jax.config.jax_debug_nans),
        bool(jax.config.jax_threefry_partitionable),
        np.random.get_state()[1].tolist(),
        tuple(warnings.filters),
    )


@pytest.mark.parametrize("trap", [marked(trap) for trap in TRAPS])
def test_trap_is_what_it_says(trap):
    if reason := cannot_run(trap):
        pytest.skip(reason)
    before = settings()
    result = check(trap)
    assert settings() == before
    if result.complaints and not AS_VERIFIED:
        pytest.skip("\n".join(result.complaints))  # docs/versions.md lists these
    assert not result.complaints, "\n".join(result.complaints)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen")
def test_the_trap_of_threads_holds_on_one_core_too():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        assert check(find("cpu-threads")).complaints == ()
    finally:
        os.sched_setaffinity(0, before)


def test_ids_are_unique_and_in_kebab_case():
    ids = [trap.id for trap in TRAPS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", trap_id) for trap_id in ids)


@pytest.mark.parametrize("trap", [pytest.param(trap, id=trap.id) for trap in TRAPS])
def test_trap_is_complete(trap):
    assert trap.theme in THEMES
    assert trap.statement.endswith(".")
    assert trap.fix.endswith(".")
    assert trap.source
    assert trap.symptoms
    assert trap.pytorch_fixed or trap.jax_fixed, "a trap has a fix that runs"
    assert bool(trap.fix_tolerance) == bool(trap.fix_tolerance_reason), "a tolerance has a reason"
    assert trap.tolerance <= 1e-3 or trap.fix_tolerance_reason


def test_there_are_at_least_a_hundred():
    assert len(TRAPS) >= 100


def test_modules_hold_no_trap_twice():
    values = [id(trap) for trap in TRAPS]
    assert len(set(values)) == len(values)


# --- the frame -----------------------------------------------------------------------------------


def one():
    return torch.tensor([1.0, 2.0])


def two():
    return jax.numpy.array([1.0, 3.0])


def angry():
    raise ValueError("not allowed here")


def warning():
    warnings.warn("careful", UserWarning, stacklevel=1)
    return 1


def careless():
    torch.set_default_dtype(torch.float64)
    jax.config.update("jax_enable_x64", True)
    np.random.rand()
    return torch.rand(1), torch.tensor(1.0).dtype


def some_trap(**changes):
    standard = {
        "id": "some-trap",
        "statement": "It differs.",
        "severity": "silent wrong result",
        "symptoms": "loss explodes",
        "pytorch": one,
        "pytorch_gives": [1.0, 2.0],
        "jax": two,
        "jax_gives": [1.0, 3.0],
        "fix": "Take one.",
        "jax_fixed": one,
        "source": "owner/project#1",
    }
    return Trap(**(standard | changes))


def test_a_true_trap_passes():
    assert check(some_trap()).complaints == ()


def test_an_obsolete_trap_says_which_what_and_versions():
    (complaint,) = check(some_trap(jax_gives=[1.0, 4.0])).complaints
    assert complaint.startswith(
        "trap some-trap became obsolete: expected [1, 4] from JAX, now [1, 3]"
    )
    assert torch.__version__.partition("+")[0] in complaint
    assert "verified with torch 2.13.0" in complaint


def test_a_difference_smaller_than_the_tolerance_is_no_trap():
    result = check(some_trap(jax_gives=[1.0, 2.0], jax=one))
    assert "so it is none" in result.complaints[0]


def test_a_shared_trap_may_give_the_same():
    assert check(some_trap(jax_gives=[1.0, 2.0], jax=one, shared=True)).complaints == ()


def test_a_fix_that_does_not_make_equal_is_found():
    (complaint,) = check(some_trap(jax_fixed=two)).complaints
    assert "no longer makes the two equal: PyTorch [1, 2], JAX [1, 3]" in complaint


def test_a_fix_that_raises_is_found():
    assert "the fixed JAX side gives ValueError" in check(some_trap(jax_fixed=angry)).complaints[0]


def test_an_error_is_expected_by_kind_and_words():
    trap = some_trap(jax=angry, jax_gives=Raises("ValueError", "not allowed"))
    assert check(trap).complaints == ()
    assert check(some_trap(jax=angry, jax_gives=Raises("TypeError"))).complaints
    assert check(some_trap(jax=angry, jax_gives=Raises("ValueError", "forbidden"))).complaints
    assert check(some_trap(jax_gives=Raises("ValueError"))).complaints


def test_a_warning_must_be_expected():
    assert check(some_trap(jax=warning, jax_gives=1)).complaints
    assert check(some_trap(jax=warning, jax_gives=Warns("careful", 1))).complaints == ()
    assert check(some_trap(jax=warning, jax_gives=Warns("cheerful", 1))).complaints


def test_observing_restores_what_a_function_changes():
    before = settings()
    outcome = observe(careless)
    assert outcome.value[1] == "float64"
    assert settings() == before


def test_observing_seeds_the_generators():
    assert observe(careless) == observe(careless)


def test_a_value_that_cannot_be_shown_is_an_error():
    assert observe(lambda: object()).error == "TypeError"


@pytest.mark.parametrize(
    ("value", "expected", "tolerance", "equal"),
    [
        ([1.0, float("nan")], [1.0, float("nan")], 0.0, True),
        ([1.0], [float("nan")], 1.0, False),
        ([float("inf")], [1.0], 1.0, False),
        ([1.0], [float("inf")], 1.0, False),
        ([1.0, 100.0], [1.0005, 100.0], 1e-5, True),  # relative to the largest
        ((1.0, 100.0), (1.0005, 100.0), 1e-5, False),  # items of a tuple count alone
        ([1.0], [1.0, 1.0], 1.0, False),
        ([[1.0]], [1.0], 1.0, False),
        (True, 1, 0.0, False),
        (2**40 + 1, 2**40, 0.0, False),
        ("float32", "float32", 0.0, True),
        ({"a": 1}, {"b": 1}, 0.0, False),
        ({"a": 1}, {"a": 1}, 0.0, True),
        (None, 0, 1.0, False),
        (2 + 4j, 2 - 4j, 1e-3, False),
    ],
)
def test_equality(value, expected, tolerance, equal):
    assert same(value, expected, tolerance) is equal


def test_plain_values():
    assert plain(torch.tensor([1.5], dtype=torch.bfloat16)) == [1.5]
    assert plain(jax.numpy.ones(2, jax.numpy.bfloat16)) == [1.0, 1.0]
    assert plain((torch.float16, np.dtype("int32"))) == ("float16", "int32")
    assert plain(torch.zeros(2, 3).shape) == (2, 3)
    assert plain({"x": np.float64(2.0)}) == {"x": 2.0}


def test_a_trap_runs_the_same_in_a_fresh_process():
    trap = find("gelu-tanh-default")
    here = check(trap)
    fresh = in_fresh_process(trap)
    assert fresh == (here.pytorch, here.jax, here.pytorch_fixed, here.jax_fixed)


# --- finding -------------------------------------------------------------------------------------


def test_an_unknown_trap_names_near_ones():
    with pytest.raises(BadInput, match="did you mean gelu-tanh-default"):
        find("gelu-tanh")


def test_an_unknown_theme_names_all():
    with pytest.raises(BadInput, match="layers, losses"):
        select("layer")


def test_themes_and_severities_filter():
    chosen = select("layers", "silent wrong result")
    assert chosen
    assert all(trap.theme == "layers" for trap in chosen)


def test_search_takes_the_words_of_a_symptom():
    assert find("gelu-tanh-default") in select(words="BERT port activations")
    assert select(words="zzzz") == []


@pytest.mark.parametrize(
    ("symptom", "trap_id"),
    [
        ("loss half as large", "l2-loss-half"),
        ("padding token changes result", "embedding-padding-row"),
        ("model sees the future", "attention-mask-polarity"),
        ("ResNet downsampling differ", "conv-same-stride"),
        ("evaluation accuracy bad, training fine", "batchnorm-momentum"),
        ("momentum has no effect", "optimizer-state-dropped"),
        ("loss increases", "adadelta-ascends"),
        ("learning rate increases again", "cosine-past-the-end"),
        ("nan loss vocabulary", "embedding-id-too-large"),
    ],
)
def test_a_symptom_leads_to_its_trap(symptom, trap_id):
    found = [trap.id for trap in select(words=symptom)]
    assert trap_id in found
    assert len(found) <= 5


def test_search_prefers_all_words_and_finds_beginnings():
    first = some_trap(id="first", symptoms="nan gradient")
    second = some_trap(id="second", symptoms="nan loss")
    assert search([first, second], "NaN grads") == [first]
    assert search([first, second], "nan") == [first, second]
    assert search([first, second], "nan gradient somewhere") == [first]


# --- showing -------------------------------------------------------------------------------------


def test_shown_code_is_the_code_that_runs():
    trap = find("gelu-tanh-default")
    assert code_of(trap.jax_fixed).endswith("approximate=False)")


def test_shown_code_comes_with_what_it_uses():
    assert "def some_trap" not in shared_code(some_trap())
    uses_helper = some_trap(jax=lambda: some_trap() and TRAPS)
    assert "def some_trap" in shared_code(uses_helper)
    assert "TRAPS = all_traps()" in shared_code(uses_helper)


def test_command_lists(capsys):
    assert command.main(["--theme", "layers"]) == 0
    assert "gelu-tanh-default" in capsys.readouterr().out


def test_command_runs_one(capsys):
    assert command.main(["gelu-tanh-default"]) == 0
    out = capsys.readouterr().out
    assert "0.841345" in out
    assert "0.841192" in out
    assert "With the fix both give the same" in out


def test_command_refuses_with_one_line(capsys):
    assert command.main(["no-such-trap-at-all"]) == 2
    assert command.main(["--page", "/no/such/folder/page.md"]) == 2
    assert capsys.readouterr().err.count("error: ") == 2


def test_command_writes_a_page(tmp_path):
    path = tmp_path / "TRAPS.md"
    assert command.main(["--search", "gelu", "--page", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert "### gelu-tanh-default" in text
    assert "[jax-ml/jax#4428](https://github.com/jax-ml/jax/issues/4428)" in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["TRAPS.md"]


def test_the_committed_page_shows_every_trap_as_it_is():
    text = (Path(__file__).parents[2] / "comparisons" / "TRAPS.md").read_text(encoding="utf-8")
    assert re.findall("^### (.+)$", text, re.MULTILINE) == [trap.id for trap in TRAPS]
    for trap in TRAPS:
        functions = (trap.pytorch, trap.jax, trap.pytorch_fixed, trap.jax_fixed)
        shown = [
            trap.statement,
            trap.fix,
            *(code_of(function) for function in functions if function),
        ]
        assert all(part in text for part in shown), (
            f"{trap.id} has changed: python -m comparisons.traps --page comparisons/TRAPS.md"
        )


def test_page_names_what_could_not_run():
    trap = find("gelu-tanh-default")
    assert "Not run for this page: no device" in page([(trap, "no device")], "TRAPS.md")


def test_module_runs_from_the_command_line():
    process = subprocess.run(
        [sys.executable, "-m", "comparisons.traps", "--search", "gelu"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert process.returncode == 0, process.stderr
    assert "gelu-tanh-default" in process.stdout
