"""Random correct experiments pass; the draws are the same every time, and as odd as promised."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comparisons import false_alarms
from comparisons.evidence.false_alarm_page import clean_rerun, page
from comparisons.evidence.false_alarm_tally import FOLDER, SCHEMA, Tally
from comparisons.evidence.random_problems import Draws, draw
from comparisons.false_alarms import Search, main, search
from twofold.errors import ResultError
from twofold.parity.certify import climb
from twofold.parity.judging.verdict import MAY_EXCEED
from twofold.parity.ladder.rungs import WITHOUT_EXPORT
from twofold.problem.categories import require_rows_of
from twofold.results.json_files import read_json
from twofold.spec.experiment import Experiment, Precision
from twofold.spec.initial_values import Init
from twofold.spec.layers.activation import ActivationName
from twofold.spec.layers.sequence import kinds_in
from twofold.spec.losses import output_weights
from twofold.spec.model import embedding_of

SMALL = 24  # largest width of the fast tests
SILENT = ("certified", "explained", "vacuous", "out of range")
"""No alarm: a random experiment may be one on which nothing could have failed."""


def alarms(
    seed: int, engine: str, precision: str, max_size: int = SMALL, draws: Draws = "wide"
) -> list[str]:
    """The rungs that a correct engine fails."""
    case = draw(seed, precision, max_size, draws)  # type: ignore[arg-type]
    rungs = climb(engine, case.reference(), steps=1, ladder=WITHOUT_EXPORT)
    unknown = ("exceeds the range", MAY_EXCEED)  # of several steps in one call
    return [
        f"{rung.rung}: {rung.note}"
        for rung in rungs
        if rung.verdict not in SILENT and not any(words in rung.note for words in unknown)
    ]


@settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(seed=st.integers(10**6, 2 * 10**6), precision=st.sampled_from(get_args(Precision)))
def test_pytorch_raises_no_false_alarm(seed: int, precision: str) -> None:
    assert alarms(seed, "torch:eager", precision) == []


@settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(seed=st.integers(10**6, 2 * 10**6), precision=st.sampled_from(get_args(Precision)))
def test_pytorch_raises_no_false_alarm_with_every_option(seed: int, precision: str) -> None:
    assert alarms(seed, "torch:eager", precision, draws="full") == []


@pytest.mark.parametrize("precision", get_args(Precision))
def test_pytorch_raises_no_false_alarm_with_texts(precision: str) -> None:
    assert alarms(10**6, "torch:eager", precision, draws="texts") == []


@pytest.mark.parametrize(("seed", "precision"), [(1, "float32"), (2, "mixed_bfloat16")])
def test_flax_raises_no_false_alarm(seed: int, precision: str) -> None:
    assert alarms(seed, "flax:jit", precision) == []
    assert alarms(seed, "flax:jit", precision, draws="full") == []


def test_overflow_on_the_way_is_no_alarm() -> None:
    """Seed 998 was one: infinity in the backward pass, times a dropout mask of zero, is NaN."""
    assert alarms(998, "torch:eager", "float32", 512, "plain") == []


def test_draws_are_repeatable_and_agree_in_both_precisions() -> None:
    narrow, again, wide = draw(5, "float32"), draw(5, "float32"), draw(5, "float64")
    assert narrow.problem.experiment == again.problem.experiment
    assert (narrow.problem.train.inputs == again.problem.train.inputs).all()
    assert (narrow.problem.train.inputs == wide.problem.train.inputs).all()
    changed = wide.problem.experiment.model_copy(update={"precision": "float32"})
    assert changed == narrow.problem.experiment


def test_draws_reach_the_corners() -> None:
    drawn = [draw(seed, "float32") for seed in range(150)]
    models = [case.problem.experiment.model for case in drawn]
    assert {len(model.hidden) for model in models} == set(range(9))
    assert len({model.activation for model in models}) == 7
    assert {case.problem.experiment.loss.kind for case in drawn} == {
        "cross_entropy",
        "mse",
        "bce_with_logits",
    }
    assert any(case.problem.experiment.data.batch_size == 1 for case in drawn)
    sizes = [np.abs(case.problem.train.inputs).max() for case in drawn]
    assert min(sizes) < 1e-4
    assert max(sizes) > 1e4


def test_wide_draws_are_the_plain_ones_with_options() -> None:
    """Apart from options, plain and wide experiments of a seed are the same."""
    for seed in range(20):
        plain, wide = (draw(seed, "float64", draws=draws) for draws in ("plain", "wide"))
        assert (plain.draws, wide.draws) == ("plain", "wide")
        assert (plain.problem.train.inputs == wide.problem.train.inputs).all()
        bare = wide.problem.experiment.model_dump()
        for path in (("optimizer", "schedule"), ("optimizer", "clip_norm")):
            bare[path[0]][path[1]] = plain.problem.experiment.model_dump()[path[0]][path[1]]
        if "label_smoothing" in bare["loss"]:
            bare["loss"]["label_smoothing"] = 0.0
        assert bare == plain.problem.experiment.model_dump()


def test_draws_in_parts_are_the_wide_ones_in_micro_batches() -> None:
    counts = []
    for seed in range(40):
        wide, parts = (draw(seed, "float32", draws=draws) for draws in ("wide", "parts"))
        rows = wide.problem.experiment.data.batch_size
        counts.append(parts.problem.experiment.training.micro_batches)
        assert min(2, rows) <= counts[-1] <= min(16, rows)
        bare = parts.problem.experiment.with_values(training__micro_batches=1)
        assert bare == wide.problem.experiment
        assert parts.warm_step == wide.warm_step
    assert {2, 3, 16} <= set(counts)


def test_draws_of_texts_reach_the_corners() -> None:
    drawn = [draw(seed, "float32", 40, "texts").problem for seed in range(100)]
    embeddings = [embedding_of(problem.experiment.model) for problem in drawn]
    assert {len(each.known) for each in embeddings if each is not None} == set(range(1, 7))
    numbers = [problem.layers[0].layer.numbers(problem.in_features) for problem in drawn]  # type: ignore[attr-defined]
    assert min(numbers) == 0 < max(numbers)
    assert {1, 40} <= {count for each in embeddings if each is not None for count in each.known}
    others = 0
    for problem, embedding in zip(drawn, embeddings, strict=True):
        assert embedding is not None
        require_rows_of(embedding, problem.train.inputs)
        texts = problem.train.inputs[:, embedding.numbers(problem.in_features) :]
        others += bool((texts == np.array(embedding.first_rows[1:]) - 1).any())
    assert others > 20
    parts = {problem.experiment.training.micro_batches > 1 for problem in drawn}
    assert parts == {False, True}


def test_full_draws_reach_every_option() -> None:
    drawn = [draw(seed, "float32", 40, "full").problem.experiment for seed in range(200)]
    wide = [draw(seed, "float32", 40).problem.experiment for seed in range(200)]
    for full, bare in zip(drawn, wide, strict=True):
        assert (full.seed, full.model.hidden) == (bare.seed, bare.model.hidden)
    assert {each.model.activation for each in drawn} == set(get_args(ActivationName))
    assert {each.model.init for each in drawn} == set(get_args(Init))
    kinds = {each.optimizer.schedule.kind for each in drawn}
    assert kinds == {"constant", "linear", "step", "exponential", "warmup_cosine"}
    weighted = {each.loss.kind for each in drawn if output_weights(each.loss) is not None}
    assert weighted == {"cross_entropy", "bce_with_logits"}
    assert any(each.loss.kind == "huber" for each in drawn)
    in_parts = {each.loss.kind for each in drawn if each.training.micro_batches > 1}
    assert in_parts == {"cross_entropy", "mse", "huber", "bce_with_logits"}
    assert {each.optimizer.decay_biases for each in drawn} == {False, True}
    assert all(Experiment.model_validate(each.model_dump()) == each for each in drawn)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_micro_batches_raise_no_false_alarm(seed: int, precision: str) -> None:
    assert alarms(seed, "torch:eager", precision, draws="parts") == []


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_random_layers_raise_no_false_alarm(seed: int, precision: str) -> None:
    assert alarms(seed, "torch:eager", precision, draws="layers") == []


def test_random_layers_raise_no_false_alarm_in_flax() -> None:
    assert alarms(11, "flax:jit", "float32", draws="layers") == []


def test_draws_of_layers_have_every_kind_and_could_be_written_as_a_spec() -> None:
    kinds = set()
    for seed in range(60):
        case = draw(seed, "float32", draws="layers")
        assert case.draws == "layers"
        experiment = case.problem.experiment
        assert Experiment.model_validate(experiment.model_dump(exclude_none=True)) == experiment
        kinds |= {layer.words().partition(" ")[0] for layer in kinds_in(experiment.model.layers)}
    assert {"linear", "layer_norm", "batch_norm", "residual", "dropout", "gelu"} <= kinds


def test_plain_draws_stay_as_they_were_stored() -> None:
    """Seed 998 as the first search stored it: its draws must not move under later generators."""
    (stored,) = read_json(FOLDER / "amd-epyc" / "torch-eager-float32-0.json", SCHEMA)["alarms"][:1]
    experiment = draw(998, "float32", draws="plain").problem.experiment
    lines = stored["experiment"].partition("# rows")[0].splitlines()
    assert len(lines) > 20
    drawn = set(experiment.to_toml().splitlines())  # fields have come since
    moved = [line for line in lines if line not in drawn]
    # The exponential function of one kind of processor rounds otherwise than that of another.
    for line in moved:
        name, _, stored_number = line.partition(" = ")
        (other,) = [each for each in drawn if each.startswith(f"{name} = ")]
        assert float(other.partition(" = ")[2]) == pytest.approx(float(stored_number), rel=1e-14)
    assert len(moved) <= 2


def test_wide_draws_reach_the_corners_of_the_options() -> None:
    cases = [draw(seed, "float32", SMALL) for seed in range(120)]
    optimizers = [case.problem.experiment.optimizer for case in cases]
    schedules = [o.schedule for o in optimizers if o.schedule.kind == "warmup_cosine"]
    assert 40 < len(schedules) < 100
    assert any(schedule.warmup_steps == 0 for schedule in schedules)
    assert any(schedule.warmup_steps > 10 for schedule in schedules)
    steps = [case.warm_step or 0 for case in cases]
    assert any(
        s > o.schedule.decay_steps
        for s, o in zip(steps, optimizers, strict=True)
        if o.schedule.kind == "warmup_cosine"
    )
    clipped = [o.clip_norm for o in optimizers if o.clip_norm is not None]
    assert 40 < len(clipped) < 100
    losses = [case.problem.experiment.loss for case in cases]
    smoothed = [loss.label_smoothing for loss in losses if loss.kind == "cross_entropy"]
    assert 0.0 in smoothed
    assert max(smoothed) > 0.5


def test_some_limits_lie_at_the_norm_of_the_first_gradient() -> None:
    """The norm by PyTorch's own sum over its own gradients."""
    import torch

    from twofold import open_session

    near = 0
    for seed in range(40):
        case = draw(seed, "float64", SMALL)
        limit = case.problem.experiment.optimizer.clip_norm
        if limit is not None:
            session = open_session(case.problem, "torch:eager")
            _, gradients = session.loss_and_gradients(session.batch(0))
            norm = torch.nn.utils.get_total_norm([torch.tensor(g) for g in gradients.values()])
            near += abs(limit - float(norm)) <= 0.1001 * float(norm)
    assert near >= 4


@pytest.mark.parametrize("seed", [128, 172])
def test_numbers_beyond_the_range_do_not_end_a_ladder(seed: int) -> None:
    """A gradient of nothing but zeros is clipped at 128; the weights of 172 become infinite."""
    rungs = climb("torch:eager", draw(seed, "float32").reference(), steps=3, ladder=WITHOUT_EXPORT)
    assert [rung.note for rung in rungs if "engine failed" in rung.note] == []


def test_a_search_stores_what_it_saw_and_tables_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    tally = Tally("torch:eager", "float32", 3, 4)
    search([tally], Search(tmp_path, variations=1, whole_every=3))
    (path,) = tmp_path.glob("*.json")
    stored = read_json(path, SCHEMA)
    assert stored["seeds"] == [3, 4]
    assert (stored["experiments"], stored["whole_ladders"], stored["variations"]) == (1, 1, 1)
    assert stored["draws"] == "wide"
    assert stored["alarms"] == []
    processor = stored["environment"]["processor"]
    assert f"| torch:eager | float32 | wide | {processor} | yes | 3 to 3 | 1 | 1 | 1 |" in page(
        tmp_path
    )


def test_older_ladders_have_a_row_of_their_own(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for first, rung in ((0, "forward"), (9, "multi-step execution, explained")):
        tally = Tally("torch:eager", "float32", first, first + 1, experiments=1)
        tally.worst[rung] = (0.5, first)
        tally.store(tmp_path)
    processor = tally.environment["processor"]
    written = page(tmp_path)
    for mark, seeds in (("no", "0 to 0"), ("yes", "9 to 9")):
        assert f"| torch:eager | float32 | wide | {processor} | {mark} | {seeds} | 1 |" in written


def test_a_number_of_variations_that_makes_no_sense_is_refused(capsys) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit):
        main(["--seeds", "0:1", "--variations", "-1"])
    assert "--variations: -1 given; allowed is 0 or more" in capsys.readouterr().err


def test_a_stopped_search_goes_on_and_comes_to_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command = ["--seeds", "1266:1269", "--engines", "torch:eager", "--out"]
    assert main([*command, str(whole)]) == 0
    for _ in range(3):
        assert main([*command, str(parts), "--minutes", "0"]) == 0  # one seed each
    name = "torch-eager-float32-wide-1266.json"
    results = [read_json(folder / name, SCHEMA) for folder in (whole, parts)]
    for result in results:
        del result["environment"]
    assert results[0] == results[1]
    assert results[0]["seeds"] == [1266, 1269]


def test_a_search_is_not_continued_with_other_versions(tmp_path) -> None:  # type: ignore[no-untyped-def]
    begun = Tally("torch:eager", "float32", 0, 2)
    begun.environment["versions"]["torch"] = "0.4"
    begun.store(tmp_path)
    with pytest.raises(ResultError, match=r"made with .*0\.4"):
        Tally("torch:eager", "float32", 0, 2).taken_up(tmp_path)


def test_every_stored_alarm_is_gone_since() -> None:
    stored = [read_json(path, SCHEMA) for path in FOLDER.rglob("*.json")]
    assert sum(result["experiments"] for result in stored) >= 1000
    for result in stored:
        for alarm in result["alarms"]:
            assert any(clean_rerun(other, result, alarm["seed"]) for other in stored)


@pytest.mark.parametrize("where", ["the next problem", "a variation of the next problem"])
def test_an_interrupted_search_has_stored_every_finished_problem(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no part of another: going on comes to what an undisturbed search comes to."""
    command = ["--seeds", "1266:1269", "--engines", "torch:eager", "--variations", "1", "--out"]
    small = partial(draw, max_size=SMALL)
    monkeypatch.setattr(false_alarms, "draw", small)
    assert main([*command, str(tmp_path / "whole")]) == 0
    name = "climb" if where == "the next problem" else "_several_steps"
    original, calls = getattr(false_alarms, name), iter(range(100))

    def interrupted(*arguments: object, **options: object) -> object:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(false_alarms, name, interrupted)
        assert main([*command, str(tmp_path / "parts")]) == 130
    assert "interrupted; every finished problem is stored" in capsys.readouterr().err
    paths = [tmp_path / f / "torch-eager-float32-wide-1266.json" for f in ("whole", "parts")]
    stored = read_json(paths[1], SCHEMA)
    assert (stored["experiments"], stored["variations"]) == (2, 2)
    assert main([*command, str(tmp_path / "parts")]) == 0
    whole, parts = ({**read_json(path, SCHEMA), "environment": {}} for path in paths)
    assert whole == parts
