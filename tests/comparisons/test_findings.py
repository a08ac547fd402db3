"""Findings from hand-made results: counts, break-evens, envelopes, words and advice."""

import math
from itertools import pairwise

import pytest
from hand_made_results import measured, parity_result, ratio, rung, timing_result, unmeasured
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.report import advice, guide, speed_advice, wording
from twofold.report.contenders import best_somewhere
from twofold.report.environments import describe_environments
from twofold.report.evidence import Evidence
from twofold.report.parity_findings import Tally, find_parity
from twofold.report.study_findings import find_studies
from twofold.report.time_to_result import MeasuredEngine, break_even, lines_with, soonest_somewhere
from twofold.report.timing_findings import find_timing
from twofold.report.training_findings import find_training


def test_parity_counts_and_cells(evidence: Evidence) -> None:
    parity = find_parity(evidence.parity)
    assert parity is not None
    assert parity.total == Tally(certified=3, explained=1, diverging=1, not_run=1)
    assert parity.cell("torch:eager", "digits") == Tally(certified=2)
    assert parity.cell("flax:jit", "lesson") == Tally(diverging=1)
    assert parity.cell("torch:compile", "lesson") == Tally()
    assert parity.tightest is not None
    assert parity.tightest.worst_ratio == 0.5


def test_no_rungs_is_not_a_pass() -> None:
    empty = find_parity((parity_result("digits") | {"passed": False},))
    assert empty is not None
    assert not empty.holds
    assert advice.same_thing(empty).startswith("Not shown")


def test_what_is_vacuous_or_out_of_range_is_not_said_to_hold() -> None:
    """The report takes the ladder's own word, and says what to change."""
    rungs = (
        rung("forward", "torch:eager", "certified", 0.5),
        rung("loss", "torch:eager", "vacuous", 0.0, note="every exact value is zero"),
        rung("step-locked training", "torch:eager", "out of range", None, beyond_step=6),
    )
    said = {"outcome": "out of range", "conclusion": "the training leaves it at step 6; lower lr"}
    result = parity_result("mine", *rungs) | {"passed": False} | said
    result |= {"not_exercised": ["optimizer.clip_norm = 5: clipping acts in no judged step"]}
    found = find_parity((result,))
    assert found is not None
    assert found.total == Tally(certified=1, vacuous=1, out_of_range=1)
    assert not found.holds
    assert advice.same_thing(found) == "Not shown on mine: 1 certified and 0 explained of 3 rungs."
    page = guide.compose(Evidence(parity=(result,))).markdown
    assert "**Not shown on mine:** the training leaves it at step 6; lower lr." in page
    assert "- mine: optimizer.clip_norm = 5: clipping acts in no judged step" in page
    assert "1 certified, 1 out of range, 1 vacuous" in page
    assert "**Mend mine first**" in page


def test_a_vacuous_rung_beside_evidence_counts_for_nothing() -> None:
    result = parity_result(
        "mine",
        rung("update (fresh)", "torch:eager", "vacuous", 0.0),
        rung("update (warm)", "torch:eager", "certified", 0.5),
    )
    found = find_parity((result | {"passed": True, "outcome": "holds"},))
    assert found is not None
    assert advice.same_thing(found) == (
        "Yes: every rung that could fail holds, 1 certified and 0 explained; "
        "1 of 2 could not have failed."
    )


def test_a_figure_that_is_not_finite_is_said_to_be_so() -> None:
    """JSON has null for it, in results of old too, whose partings do not count it."""
    worst = {"tensor": "loss", "index": [], "computed": None, "oracle": 1.0, "bound": 0.1}
    found = find_parity(
        (parity_result("mine", rung("loss", "flax:jit", "diverges", None, worst=worst)),)
    )
    assert found is not None
    assert found.rungs[0].where == "loss: computed not finite, oracle 1.0, bound 0.1"
    curve = {"kind": "from float64", "left": "a", "right": "float64", "partings": []}
    curve |= {"distance": [1e-7, None, None], "tensors": {}}
    floor = curve | {"kind": "noise floor", "right": "a"}
    steady = floor | {"distance": [1e-8, 1e-8, 1e-8]}
    result = {
        "schema": "twofold.divergence/1",
        "experiment": {"name": "mine"},
        "environment": {},
        "steps": [1, 2, 3],
        "parted_above": 1e-5,
        "curves": [curve, floor, steady],
    }
    (study,) = find_studies(Evidence(divergence=(result,))).free_runs
    assert (study.runs[0].parted, study.runs[0].floor) == ("not finite at step 2", None)


def test_an_explained_difference_names_cause_source_size_and_both_ratios(
    evidence: Evidence,
) -> None:
    parity = find_parity(evidence.parity)
    assert parity is not None
    (difference,) = parity.explained
    assert difference.source == "optax/tree_utils/_tree_math.py"
    assert difference.sizes == ("6.6e-06 of the first update",)
    assert (difference.engines, difference.rungs) == (("flax:jit",), ("update",))
    assert (difference.largest_ratio_without, difference.largest_ratio_with) == (5.5, 0.75)


def test_short_answers(evidence: Evidence) -> None:
    findings = guide.find(evidence)
    assert advice.same_thing(findings.parity) == (
        "No: 1 of 6 rungs diverge (3 certified and 1 explained)."
    )
    digits, lesson = "of the 3 engines measured", "of the 2 engines measured"
    assert speed_advice.shortest_step(findings.timing) == (
        f"In digits, {digits}: flax:jit. "
        f"In lesson, {lesson}: flax:jit or torch:eager (not told apart)."
    )
    # 600 steps of digits: torch:eager 0.1 + 599 x 1 ms = 0.699 s; flax:jit 1 + 599 x 0.5 ms = 1.3 s
    assert speed_advice.soonest(findings.timing, "empty") == (
        f"In digits, {digits}: torch:eager. In lesson, {lesson}: torch:eager."
    )
    assert speed_advice.soonest(findings.timing, "full") == "In digits and lesson: not measured."
    assert all(
        part in advice.how_fast(findings.timing)
        for part in (
            "Shortest step. In digits",
            "empty compile cache. In",
            "Full compile cache. In",
        )
    )
    assert advice.same_thing(None).startswith("Not known")
    assert advice.how_fast(()).startswith("Not known")


def test_the_short_answer_says_yes_only_when_all_hold(evidence: Evidence) -> None:
    sound, _ = evidence.parity
    sound = {**sound, "passed": True, "rungs": sound["rungs"][:3]}
    assert advice.same_thing(find_parity((sound,))).startswith("Yes: all 3 rungs")
    with_gap = find_parity(evidence.parity[:1])
    assert advice.same_thing(with_gap).startswith("As far as was checked")


def test_break_even_by_hand(evidence: Evidence) -> None:
    digits = find_timing(evidence.timing[0])
    assert digits.envelope == ("torch:eager", "flax:jit")
    (even,) = digits.break_evens
    # 0.9 s later at the start, 0.5 ms sooner with each step; gains of 0.3 to 0.7 ms at the ends
    assert even.steps == pytest.approx(1801)
    assert even.low == pytest.approx(1 + 0.9 / 0.0007)
    assert even.high == pytest.approx(1 + 0.9 / 0.0003)


def test_overlapping_intervals_leave_the_break_even_open(evidence: Evidence) -> None:
    lesson = find_timing(evidence.timing[1])
    (even,) = lesson.break_evens
    assert even.high is None
    assert lesson.leader is None


seconds = st.floats(1e-6, 100.0)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=6), st.floats(1.0, 1e7))
def test_the_envelope_holds_an_engine_as_fast_as_any(
    lines: list[tuple[float, float]], steps: float
) -> None:
    engines = [
        MeasuredEngine(f"fake:{i}", cold, step, step, step) for i, (cold, step) in enumerate(lines)
    ]
    envelope = soonest_somewhere(engines)
    best = min(engine.time_to(steps) for engine in engines)
    assert min(engine.time_to(steps) for engine in envelope) == pytest.approx(best, rel=1e-9)
    evens = [break_even(a, b).steps for a, b in pairwise(envelope)]
    assert evens == sorted(evens)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(seconds, seconds, st.floats(1.0, 2.0)), min_size=2, max_size=6),
    st.floats(1.0, 1e7),
)
def test_an_engine_that_is_never_soonest_is_behind_after_any_number_of_steps(
    lines: list[tuple[float, float, float]], steps: float
) -> None:
    """Even with the shortest start and step that its figures allow, and the others' longest."""
    engines = [
        MeasuredEngine(f"fake:{i}", cold, step, step / spread, step * spread)
        for i, (cold, step, spread) in enumerate(lines)
    ]
    for name in lines_with("empty", engines).never_soonest:
        own = next(engine for engine in engines if engine.engine == name)
        at_best = 0.9 * own.cold_start + (steps - 1) * own.low
        others = [one.cold_start + (steps - 1) * one.high for one in engines if one != own]
        assert min(others) < at_best * (1 + 1e-9)


def test_never_soonest_by_hand() -> None:
    def never(*lines: tuple[float, float]) -> tuple[str, ...]:
        engines = [MeasuredEngine(f"e:{i}", c, s, s, s) for i, (c, s) in enumerate(lines)]
        return lines_with("empty", engines).never_soonest

    assert never((1.0, 1.0), (2.0, 2.0)) == ("e:1",)
    assert never((1.0, 2.0), (2.0, 1.0)) == ()  # the second is soonest from step 2 on
    assert never((1.0, 1.0), (1.05, 1.01)) == ()  # starts within a tenth: not told apart
    assert never((1.0, 1.0), (0.9, 1.0)) == ()  # equal steps are no evidence
    # between the two others: soonest for no n, though neither of them alone is always ahead
    assert never((1.0, 3.0), (20.0, 1.0), (16.0, 2.5)) == ("e:2",)


def test_what_is_compiled_after_the_first_step_counts_for_a_result() -> None:
    """2 s of starting, 6 s of later compiling, 999 more steps of 1 ms; 1 s and 3 s when warm."""
    entry = measured("a:late", 2.0, 1e-3, 1e-3, 1e-3)
    entry |= {"cold_start": {"later_build_s": 6.0}, "warm_start": {"later_build_s": 3.0}}
    entry |= {"warm_start_s": 1.0}
    old = measured("a:old", 9.5, 1e-3, 1e-3, 1e-3)
    late, plain = find_timing(timing_result("digits", [entry, old], [])).measured
    assert late.time_to(1000) == pytest.approx(8.999)
    assert plain.time_to(1000) == pytest.approx(10.499)
    warm = late.with_cache("full")
    assert warm is not None
    assert warm.time_to(1000) == pytest.approx(4.999)


def test_times_to_a_result_that_are_close_are_named_together() -> None:
    engines = [
        measured("torch:eager", 1.0, 0.01, 0.01, 0.01) | {"warm_start_s": 1.0},
        measured("flax:jit", 1.05, 0.01, 0.01, 0.01) | {"warm_start_s": 0.5},
    ]
    item = find_timing(timing_result("x", engines, []) | {"steps": 101})
    names = "of the 2 engines measured"
    assert speed_advice.soonest((item,), "empty") == (
        f"In x, {names}: torch:eager or flax:jit (within 10 % of each other)."
    )
    assert speed_advice.soonest((item,), "full") == f"In x, {names}: flax:jit."


def test_a_warm_start_of_some_engines_only_is_not_measured() -> None:
    engines = [
        measured("torch:eager", 1.0, 0.01, 0.01, 0.01) | {"warm_start_s": 1.0},
        measured("flax:jit", 0.5, 0.01, 0.01, 0.01),
    ]
    item = find_timing(timing_result("x", engines, []) | {"steps": 101})
    assert speed_advice.soonest((item,), "full") == "In x: not measured."
    sentences = "\n".join(speed_advice.sentences((item,)))
    assert "with a full compile cache: not measured for flax:jit." in sentences


def test_a_withheld_comparison_puts_nobody_ahead() -> None:
    engines = [measured("torch:eager", 1, 4, 4, 4), measured("flax:jit", 1, 1, 1, 1)]
    withheld = ratio("flax:jit", 1.0, 1.0, 1.0, "could not be measured")
    item = find_timing(timing_result("x", engines, [withheld]))
    assert item.leader is None
    assert "not told apart" in speed_advice.shortest_step((item,))
    sentences = "\n".join(speed_advice.sentences((item,)))
    assert "flax:jit (1.00 s a step) and torch:eager (4.00 s): not compared" in sentences
    later = [measured("torch:eager", 1, 4, 4, 4), measured("flax:jit", 7, 1, 1, 1)]
    item = find_timing(timing_result("x", later, [withheld]))
    assert "flax:jit after 3 steps at the earliest, perhaps never" in "\n".join(
        speed_advice.sentences((item,))
    )


def test_another_device_is_never_at_its_best() -> None:
    names = [name for own in best_somewhere().values() for name in own]
    engines = [measured(name, 1, 1, 1, 1) for name in names]
    assert find_timing(timing_result("x", engines, [])).at_best
    on_gpu = [one | {"framework": {"default_device": "cuda:0"}} for one in engines]
    assert not find_timing(timing_result("x", on_gpu, [])).at_best


def test_what_was_not_checked_says_so() -> None:
    engines = [measured("torch:eager", 1, 4, 4, 4), measured("flax:jit", 1, 1, 1, 1)]
    item = find_timing(timing_result("x", engines, []) | {"unchecked": True})
    assert "timed without a parity check: flax:jit" in speed_advice.shortest_step((item,))


def test_a_stored_comparison_is_turned_round() -> None:
    item = find_timing(
        timing_result(
            "x",
            [measured("torch:eager", 1, 4, 4, 4), measured("flax:jit", 1, 1, 1, 1)],
            [ratio("flax:jit", 0.25, 0.2, 0.5, "faster")],
        )
    )
    turned = item.against("torch:eager", "flax:jit")
    assert turned is not None
    assert (turned.median, turned.low, turned.high, turned.outcome) == (4.0, 2.0, 5.0, "slower")


def test_engines_that_could_not_be_measured_are_kept_apart() -> None:
    item = find_timing(timing_result("x", [unmeasured("torch:eager", "failed", "broken")], []))
    assert (item.measured, item.envelope, item.reference, item.leader) == ((), (), None, None)
    assert list(advice.advise(None, (item,), ())) == []


def test_training_spread_in_rows(evidence: Evidence) -> None:
    digits, lesson = find_training(evidence.training, ("torch:eager", "flax:jit"))
    assert [engine.engine for engine in digits.engines] == ["torch:eager", "flax:jit"]
    assert digits.spread == pytest.approx(0.01)
    assert digits.spread_rows == 2
    assert (lesson.metric, lesson.spread, lesson.engines[0].outcome) == (None, None, "diverged")


def test_advice_follows_the_figures(evidence: Evidence) -> None:
    sentences = "\n".join(guide.find(evidence).advice)
    assert "Mend flax:jit first" in sentences
    assert "flax:jit from about 1,800 steps on (1,300 to 3,000)" in sentences
    assert "own result (600 steps):** of the engines measured" in sentences
    assert "with an empty compile cache: torch:eager (699 ms); with a full compile" in sentences
    assert "flax:jit after 5,000 steps at the earliest, perhaps never" in sentences
    assert "(digits, empty compile cache, any number of steps): flax:op-by-op." in sentences
    assert "flax:jit (500 µs a step) is 2.00 times as fast as torch:eager" in sentences


def test_the_lead_is_the_paired_ratio_not_that_of_the_medians() -> None:
    item = find_timing(
        timing_result(
            "x",
            [measured("torch:eager", 1, 4, 4, 4), measured("flax:jit", 1, 1, 1, 1)],
            [ratio("flax:jit", 0.2, 0.2, 0.2, "faster")],
        )
    )
    assert "5.00 times as fast" in advice.advise(None, (item,), ())[0]


def test_equal_outcomes_are_called_the_same(evidence: Evidence) -> None:
    one, other, _ = evidence.training
    (item,) = find_training((one, {**other, "score": one["score"]}))
    (sentence,) = advice.advise(None, (), (item,))
    assert "of flax:jit and torch:eager is the same on 200 test rows" in sentence


def test_no_divergence_no_warning(evidence: Evidence) -> None:
    sound, _ = evidence.parity
    sound = {**sound, "passed": True, "rungs": sound["rungs"][:3]}
    (sentence,) = advice.advise(find_parity((sound,)), (), ())
    assert sentence.startswith("**What is computed is no reason to prefer one framework.**")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.000312, "312 µs"),
        (0.0009996, "1.00 ms"),
        (0.00184, "1.84 ms"),
        (12.34, "12.3 s"),
        (1234.0, "1,230 s"),
        (None, "–"),
    ],
)
def test_durations(value: float | None, words: str) -> None:
    assert wording.duration(value) == words


def test_other_words() -> None:
    assert wording.significant(math.inf) == "infinite"
    assert wording.significant(0) == "0"
    assert wording.significant(1.5e-5) == "1.50e-05"
    assert wording.steps(2345.6) == "2,300"
    assert wording.steps(0.2) == "1"
    assert wording.listing([]) == "none"
    assert wording.listing(["a", "b", "c"]) == "a, b and c"
    assert wording.cell("a | b\nc") == "a \\| b c"


def test_environments_are_told_apart_by_machine_not_by_load(evidence: Evidence) -> None:
    one = evidence.parity[0]["environment"]
    later = {**one, "load_average": [1.5, 1, 1], "time_utc": "2026-02-02T00:00:00+00:00"}
    other = {**one, "processor": "Testonium 1", "threads": 1}
    lines = describe_environments([one, later, other])
    assert len(lines) == 2
    assert lines[0].endswith("2026-01-31 to 2026-02-02; load average 0.2 to 1.5")
    assert "2 of 4 cores, 2 threads, 8.00 GiB" in lines[0]
    assert "2 of 4 cores, 1 thread, 8.00 GiB" in lines[1]
