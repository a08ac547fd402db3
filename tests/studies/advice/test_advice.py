"""Calibration, cost model, advice and score on a machine whose laws are known."""

from __future__ import annotations

import json
import math
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from fake_machine import LAWS, LawfulWorker
from timing_fakes import FakeClock

from comparisons import advice_score, advice_verdict
from comparisons.random_workloads import drawn
from twofold.errors import ResultError
from twofold.problem.data import prepare
from twofold.studies.advice import store
from twofold.studies.advice.advise import advise, outside
from twofold.studies.advice.calibrate import Calibration, collect_points
from twofold.studies.advice.design import DESIGN, Shape, experiment_of
from twofold.studies.advice.fit import correction_of, non_negative_fit
from twofold.studies.advice.measured_point import Point
from twofold.studies.advice.model import fit_models
from twofold.studies.advice.predictors import score_all
from twofold.studies.advice.probing import SIZED_ONLY, WARM_UP_LIMIT_S, EngineProcesses
from twofold.studies.advice.score import Truth, score
from twofold.studies.advice.workload import TERMS, Space, Workload, workload_of
from twofold.timing.protocol import Opened

ENGINES = tuple(LAWS)


def calibration(noise: float = 0.02, budget_s: float = 300.0) -> Calibration:
    clock = FakeClock()
    fleet = EngineProcesses(lambda engine: LawfulWorker(engine, clock, noise), clock)
    points = collect_points(fleet, ENGINES, budget_s=budget_s, clock=clock, device="cpu")
    return Calibration({"threads": 1}, "cpu", clock.now / 1e9, tuple(points), fleet.failures)


@pytest.fixture(scope="module")
def known() -> Calibration:
    return calibration()


@cache
def unseen(count: int, seed: int = 7) -> list[Workload]:
    return [workload_of(prepare(experiment)) for experiment in drawn(count, seed)]


@cache
def truths(count: int = 40) -> list[Truth]:
    return [
        Truth(workload, {engine: LAWS[engine].step_s(workload) for engine in ENGINES})
        for workload in unseen(count)
    ]


def test_the_terms_of_a_workload_are_those_counted_by_hand() -> None:
    terms = dict(zip(TERMS, Workload((3, 4, 2), 5, 2, 4, True).terms(), strict=True))
    parameters = 3 * 4 + 4 + 4 * 2 + 2
    assert terms == {
        "step": 1,
        "layers": 2,
        "mask layers": 1,
        "slot layers": 4,
        "products": 480,
        "row bytes": 4 * 5 * (2 * 3 + 5 * 6),
        "parameter bytes": 4 * parameters * (5 + 4),
        "mask elements": 5 * 4,
        "rows": 5,
        "gathered bytes": 4 * 5 * 3,
    }
    plain = dict(zip(TERMS, Workload((3, 4, 2), 5, 2, 4, False).terms(), strict=True))
    assert (plain["mask layers"], plain["mask elements"]) == (0, 0)


def test_a_fit_finds_coefficients_and_keeps_them_from_going_below_zero() -> None:
    random_numbers = np.random.default_rng(0)
    terms = random_numbers.uniform(0.1, 1.0, (40, 4)) * [1.0, 1e6, 1e-3, 1e9]
    true = np.array([2.0, 3e-6, 0.0, 5e-9])
    found = non_negative_fit(terms, terms @ true, np.zeros(4), 1e-9)
    assert found == pytest.approx(true, rel=1e-3, abs=1e-6)
    pulled = non_negative_fit(np.ones((5, 2)) * [1, -1], np.ones(5), np.zeros(2), 1e-6)
    assert pulled[1] == 0.0


def test_what_points_do_not_say_the_prior_does() -> None:
    terms, prior = np.array([[1.0, 0.0]]), np.array([0.0, 7.0])
    assert non_negative_fit(terms, np.array([2.0]), prior, 1e-3)[1] == pytest.approx(0.0, abs=7.0)
    both = non_negative_fit(np.array([[1.0, 1.0]]), np.array([8.0]), np.array([0.0, 7.0]), 1e-3)
    assert both.sum() == pytest.approx(8.0, rel=0.01)
    assert both[1] > both[0]


def test_a_correction_follows_points_and_fades_away_from_them() -> None:
    places = np.array([[0.0], [20.0]])
    correction = correction_of(places, np.array([0.5, -0.3]))
    assert correction.at(np.array([0.0])) == pytest.approx(0.5, rel=0.05)
    assert correction.at(np.array([20.0])) == pytest.approx(-0.3, rel=0.05)
    assert correction.at(np.array([200.0])) == pytest.approx(0.0, abs=1e-9)


def test_few_points_are_trusted_less(known: Calibration) -> None:
    eager = [point for point in known.points if point.engine == "torch:eager"]
    many, few = fit_models(eager), fit_models(eager[:2])
    assert few["torch:eager"].spread > 2 * many["torch:eager"].spread


def test_the_model_predicts_workloads_that_it_has_not_seen(known: Calibration) -> None:
    assert not set(unseen(40)) & set(known.workloads)
    model = score_all(known.points, truths())[0]
    assert model.median_error is not None
    assert model.median_error < 0.10
    assert model.clear > 20
    assert model.right >= 0.9 * model.clear


def test_the_model_beats_both_baselines(known: Calibration) -> None:
    model, best, near = score_all(known.points, truths())
    assert best.median_error is None
    assert near.median_error is not None
    assert model.median_error is not None
    assert model.median_error < near.median_error / 2
    assert model.right >= max(best.right, near.right)
    assert model.lost <= min(best.lost, near.lost)


def test_compile_time_grows_with_the_layers(known: Calibration) -> None:
    for engine, law in LAWS.items():
        for hidden in (1, 3):
            workload = Workload((20, *[64] * hidden, 3), 64, 2, 4, False)
            expected = 2.0 + law.compile_s + law.compile_layer_s * workload.layers
            predicted = known.models[engine].cold_start_s(workload)
            assert predicted == pytest.approx(expected, rel=0.1, abs=0.05)


def test_a_budget_is_kept_and_all_engines_have_the_same_workloads() -> None:
    found = calibration(budget_s=90.0)
    assert found.seconds < 90.0
    shapes = {
        engine: [point.workload for point in found.points if point.engine == engine]
        for engine in ENGINES
    }
    assert 4 <= len(shapes["torch:compile"]) < len(DESIGN)
    assert shapes["torch:eager"] == shapes["flax:jit"] == shapes["torch:compile"]


def test_two_workloads_are_measured_even_if_they_take_longer_than_allowed() -> None:
    assert len(calibration(budget_s=1.0).points) == 2 * len(ENGINES)


def test_engines_stand_side_by_side() -> None:
    """A machine that gets slower and slower leaves the ratio of two engines as it is."""
    clock = FakeClock()

    class Slowing(LawfulWorker):
        def open(self) -> Opened:
            opened = super().open()
            self.session.drift = lambda now: 1.0 + now / 20.0
            return opened

    engines = ("torch:eager", "flax:jit")
    fleet = EngineProcesses(lambda engine: Slowing(engine, clock, 0.01), clock)
    points = collect_points(fleet, engines, budget_s=60.0, clock=clock, device="cpu")
    first, second = (
        {point.workload: point.step_s for point in points if point.engine == engine}
        for engine in engines
    )
    for workload, seconds in second.items():
        expected = LAWS["flax:jit"].step_s(workload) / LAWS["torch:eager"].step_s(workload)
        assert seconds / first[workload] == pytest.approx(expected, rel=0.05)


def test_an_engine_that_breaks_is_named_and_the_others_go_on() -> None:
    clock = FakeClock()

    def start(engine: str) -> LawfulWorker:
        return LawfulWorker(engine, clock, 0.01, breaks=engine == "flax:jit")

    fleet = EngineProcesses(start, clock)
    points = collect_points(
        fleet, ENGINES, budget_s=30.0, clock=clock, device="cpu", design=DESIGN[:3]
    )
    assert fleet.failures == {"flax:jit": "it burst"}
    assert {point.engine for point in points} == set(ENGINES) - {"flax:jit"}


def test_processes_live_on_and_only_their_first_workload_pays_for_imports() -> None:
    clock, started = FakeClock(), list[LawfulWorker]()

    def start(engine: str) -> LawfulWorker:
        started.append(LawfulWorker(engine, clock, 0.01))
        return started[-1]

    fleet = EngineProcesses(start, clock)
    points = collect_points(
        fleet, ["flax:jit"], budget_s=30.0, clock=clock, device="cpu", design=DESIGN[:3]
    )
    fleet.close()
    assert len(started) == 1
    assert started[0].closed == 1
    assert [(point.first, point.import_s) for point in points] == [
        (True, 2.0),
        (False, 0.0),
        (False, 0.0),
    ]


def test_what_a_busy_neighbour_spoilt_is_measured_again() -> None:
    clock, busy_until = FakeClock(), 6.0

    class Disturbed(LawfulWorker):
        def open(self) -> Opened:
            opened = super().open()
            self.session.drift = lambda now: 100.0 if now < busy_until else 1.0
            return opened

    fleet = EngineProcesses(
        lambda engine: Disturbed(engine, clock, 0.01),
        clock,
        lambda: min(clock.now / 1e9, busy_until),
        2,
    )
    experiment = experiment_of(DESIGN[0], "cpu")
    (point,) = fleet.measure(experiment, ["torch:eager"], 0.3).values()
    assert clock.now / 1e9 > busy_until
    assert point.step_s == pytest.approx(LAWS["torch:eager"].step_s(point.workload), rel=0.05)
    assert (point.first, point.import_s) == (True, 2.0)  # what the first start took


def test_blocks_that_are_sized_only_take_less_time_and_give_the_same_median() -> None:
    """The engine's first calls take up to four times as long."""
    found = {}
    for limit in (WARM_UP_LIMIT_S, SIZED_ONLY):
        clock = FakeClock()

        class Warming(LawfulWorker):
            def open(self) -> Opened:
                opened = super().open()
                self.session.warming = lambda call: 1.0 + 3.0 * 0.6**call
                return opened

        start = partial(Warming, clock=clock, noise=0.01)
        fleet = EngineProcesses(start, clock, warm_up_limit_s=limit)
        (point,) = fleet.measure(experiment_of(DESIGN[0], "cpu"), ["torch:eager"], 0.3).values()
        assert point.step_s == pytest.approx(LAWS["torch:eager"].step_s(point.workload), rel=0.03)
        found[limit] = clock.now / 1e9
    assert found[SIZED_ONLY] < found[WARM_UP_LIMIT_S] - 10 * 0.025


def test_near_and_far_are_counted_in_the_spread_of_what_was_measured() -> None:
    def workload(rows: int, dropout: bool = False) -> Workload:
        return Workload((20, 64, 3), rows, 2, 4, dropout)

    space = Space.around([workload(8), workload(32), workload(128)])
    places = [space.place(workload(rows)) for rows in (8, 32, 128)]
    assert np.mean(places, axis=0) == pytest.approx(0.0, abs=1e-12)
    rows = [float(place[4]) for place in places]  # the logarithm of the rows, evenly apart
    assert rows == pytest.approx([-math.sqrt(1.5), 0.0, math.sqrt(1.5)])
    # None of the three has dropout: one that has it is 1 away in that, not infinitely far.
    with_dropout = space.place(workload(32, dropout=True))
    assert with_dropout[-1] - places[1][-1] == 1.0


def test_advice_depends_on_the_number_of_steps(known: Calibration) -> None:
    workload = Workload((20, 128, 128, 3), 64, 2, 4, False)
    few = advise(known.models, workload, 100, known.workloads)
    many = advise(known.models, workload, 1_000_000, known.workloads)
    assert few.best.engine == "torch:eager"
    assert many.best.engine == min(ENGINES, key=lambda name: LAWS[name].step_s(workload))
    assert few.sureness == many.sureness == "sure"
    for item in (*few.predictions, *many.predictions):
        assert item.low < item.result_s < item.high
    assert sum(item.chance for item in few.predictions) == pytest.approx(1.0)


def test_advice_is_not_sure_of_what_is_close_or_unlike_all_that_was_measured(
    known: Calibration,
) -> None:
    eager = [point for point in known.points if point.engine == "torch:eager"]
    twins = [*eager, *(Point(**{**vars(point), "engine": "twin"}) for point in eager)]
    workload = Workload((20, 128, 128, 3), 64, 2, 4, False)
    close = advise(fit_models(twins), workload, 1000, known.workloads)
    assert close.sureness == "not sure"
    assert close.best.chance == pytest.approx(0.5, abs=0.1)
    huge = Workload((20, 8192, 3), 64, 2, 4, False)
    assert outside(huge, known.workloads) == ("widest layer 8192 (measured: 16 to 512)",)
    far = advise(known.models, huge, 10_000_000, known.workloads)
    assert far.sureness != "sure"


def test_advice_is_the_same_each_time_and_has_a_plain_form(known: Calibration) -> None:
    workload = Workload((20, 64, 3), 32, 2, 4, True)
    first, second = (advise(known.models, workload, 500, known.workloads) for _ in range(2))
    assert first == second
    assert json.loads(json.dumps(first.to_json()))["use"] == first.best.engine


def test_a_calibration_is_written_and_read(known: Calibration, tmp_path: Path) -> None:
    path = store.save(known, tmp_path / "calibration.json")
    found = store.load(path)
    assert found == known
    workload = unseen(1)[0]
    for engine in ENGINES:
        assert found.models[engine].step_s(workload) == known.models[engine].step_s(workload)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "make one with: twofold calibrate"),
        ('{"schema": "twofold.calibration/0"}', "schema 'twofold.calibration/0' given"),
        ('{"schema": "twofold.calibration/1"}', "json: environment: nothing given"),
        (
            '{"schema": "twofold.calibration/1", "environment": {}, "points": [{"engine": 3}]}',
            r"points\[0\].engine: 3 given",
        ),
    ],
)
def test_a_calibration_that_is_none_is_refused(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "calibration.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ResultError, match=message):
        store.load(path)


def test_another_machine_and_other_versions_are_pointed_out() -> None:
    there = {"processor": "A", "threads": 2, "versions": {"torch": "2.13", "jax": "0.10"}}
    found = Calibration(there, "cpu", 1.0, (), {}, other_cores=1.5)
    assert len(store.doubts(found, there)) == 1
    here = {"processor": "B", "threads": 2, "versions": {"torch": "2.12", "jax": "0.10"}}
    doubts = store.doubts(found, here)
    assert any("processor A, here it is B" in doubt for doubt in doubts)
    assert any("torch 2.13, here it is 2.12" in doubt for doubt in doubts)
    assert any("1.5 processors busy" in doubt for doubt in doubts)


def test_the_cache_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert store.default_path("cpu") == Path("/somewhere/twofold/calibration-cpu.json")


def test_a_score_counts_errors_winners_and_losses() -> None:
    workload = unseen(1)[0]
    given = [Truth(workload, {"a": 1.0, "b": 2.0}), Truth(workload, {"a": 1.05, "b": 1.0})]
    found = score("always a", given, lambda engine, _: 1.0 if engine == "a" else 3.0)
    assert (found.right, found.clear) == (1, 1)  # 5 % apart is not clear
    assert found.lost == pytest.approx(0.025)
    errors = sorted([0.0, 0.5, abs(1 / 1.05 - 1), 2.0])
    assert found.median_error == pytest.approx((errors[1] + errors[2]) / 2)
    assert math.isclose(found.share_right or 0.0, 1.0)


def test_the_verdict_says_how_sure_the_advice_was_and_how_far_first_steps_were_off(
    known: Calibration,
) -> None:
    points = [
        Point(engine, truth.workload, False, 0.0, 0.0, 2.0 * first_step, 1, truth.step_s[engine])
        for truth in truths(12)
        for engine in ENGINES
        if (first_step := known.models[engine].first_step_s(truth.workload, first_in_process=False))
    ]
    given = advice_verdict.scores_of(known, points)
    assert sum(counts["of"] for counts in given["sureness"].values()) == 12
    assert (
        sum(counts["right"] for counts in given["sureness"].values()) == given["scores"][0]["right"]
    )
    assert all(
        ratio == pytest.approx(0.5) for own in given["first_step_errors"].values() for ratio in own
    )
    lines = advice_verdict.table({**given, "other_cores": None})
    assert any(line.startswith("where it is sure: right in ") for line in lines)
    (row,) = [line.split() for line in lines if line.startswith("torch:eager ")]
    ratios = sorted(given["errors"]["torch:eager"])
    assert row[2:] == [f"{(ratios[5] + ratios[6]) / 2:.2f}", "50%", "12", "workloads"]


def test_engines_that_compile_long_take_part_in_fewer_workloads(known: Calibration) -> None:
    parts = advice_score.takes_part(known, ENGINES, workloads=40, budget_s=240.0)
    assert parts["torch:eager"] == set(range(40))
    assert 6 <= len(parts["torch:compile"]) < 40
    assert max(parts["torch:compile"]) > 30  # spread over all of them


def test_the_design_is_made_of_experiments_that_can_be_measured() -> None:
    workloads = [workload_of(prepare(experiment_of(shape, "cpu"))) for shape in DESIGN]
    assert len(set(workloads)) == len(DESIGN)
    matrix = np.array([workload.terms() for workload in workloads])
    assert np.linalg.matrix_rank(matrix / matrix.max(axis=0)) == len(TERMS)
    assert experiment_of(Shape(8, (4,), optimizer="sgd"), "cpu").optimizer.kind == "sgd"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_stored_scores_follow_from_the_stored_measurements(
    tmp_path: Path, threads: int
) -> None:
    """Anyone can score what was measured once more, without measuring."""
    stored = Path("comparisons/results/intel-r-xeon-r-processor")
    names = [f"{kind}-{threads}-threads.json" for kind in ("calibration-advice", "advice-score")]
    for name in names:
        (tmp_path / name).write_text((stored / name).read_text())
    calibration = str(tmp_path / names[0])
    options = ["--again", "--calibration", calibration, "--out", str(tmp_path)]
    code = advice_score.main(options)
    before, after = (json.loads((folder / names[1]).read_text()) for folder in (stored, tmp_path))
    assert code == (0 if before["met"] and before["beats_others"] else 1)
    for key in ("workloads", "seed", "way", "met", "points"):
        assert after[key] == before[key]
    for old, new in zip(before["scores"], after["scores"], strict=True):
        assert (new["name"], new["right"], new["clear"]) == (
            old["name"],
            old["right"],
            old["clear"],
        )
        assert new["lost"] == pytest.approx(old["lost"])
        assert new["median_error"] == pytest.approx(old["median_error"])


def test_nothing_measured_before_is_said_and_not_a_traceback(tmp_path: Path) -> None:
    assert advice_score.main(["--again", "--threads", "1", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("option", ["--workloads", "--seconds", "--budget"])
def test_senseless_numbers_are_refused_before_anything_is_measured(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        advice_score.main([option, "0"])
    assert f"{option}: 0" in capsys.readouterr().err
