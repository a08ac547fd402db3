"""What every engine must do, whatever its backend; expected values come from NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plain_numpy
import pytest
from problems import make_problem, random_batch, random_state

from twofold.backends.installed import backends, engine_names
from twofold.engines.registry import default_engines, find_engine, open_session
from twofold.engines.session import Session
from twofold.errors import DataError, DeviceUnavailable, TwofoldError
from twofold.problem.problem import Batch, batch_at, dropout_masks, initial_state
from twofold.problem.state import Parameters, TrainState
from twofold.spec.experiment import (
    Adam,
    AdamW,
    BceWithLogits,
    CrossEntropy,
    Exponential,
    Huber,
    Linear,
    Mlp,
    Mse,
    Sgd,
    StepDecay,
    WarmupCosine,
)

COMPILES_WHOLE_STEPS = frozenset({"torch:compile-step", "torch:compile-epoch"})
SLOW_TO_COMPILE = COMPILES_WHOLE_STEPS | {"torch:compile"}
TWO_STEPS: Final = "torch:compile-epoch"
"""Its graphs are those of `compile-step`, and one of two such steps. So it is tested here and by
the ladder's rung of several steps, and not again for every kind of layer."""
NEVER_COMPILES = frozenset(
    {"torch:lesson", "torch:eager", "torch:eager-fused", "torch:ddp", "flax:op-by-op"}
)
OF_PROCESSES = tuple(name for name in engine_names() if find_engine(name)[1].processes)
HERE = (*default_engines(), *OF_PROCESSES)


def marked(engine: str, slow: frozenset[str] = frozenset()) -> Any:
    """The engine as a parameter: skipped where its device is missing, slow where it compiles long.

    What an engine without its device says is tested below. An optional backend is skipped where its
    framework is missing.
    """
    marks: list[Any] = [pytest.mark.slow] if engine in slow else []
    if engine not in HERE:
        device = find_engine(engine)[1].device or "a framework that is optional"
        marks.append(pytest.mark.skip(reason=f"{engine} runs on {device} only: none here"))
    return pytest.param(engine, marks=marks)


ALL_ENGINES = [marked(name) for name in engine_names()]
OPTIONAL = [owner for owner in backends() if owner.optional]
EVERY_OPTIONAL = frozenset(
    owner.full_name(engine.name) for owner in OPTIONAL for engine in owner.engines
)
SHARDED = frozenset(name for name in OF_PROCESSES if ":sharded" in name)
OWN_SESSION = [marked(name, SLOW_TO_COMPILE | EVERY_OPTIONAL | SHARDED) for name in engine_names()]
"""For tests that open a session each: an engine that compiles for 10 to 40 s is marked slow.

So is every engine of an optional backend; in the fast tests its first has the warm session.
"""
SLOW_TO_WARM = (
    COMPILES_WHOLE_STEPS
    | SHARDED
    | EVERY_OPTIONAL - {owner.full_name(owner.engines[0].name) for owner in OPTIONAL}
)
WARM_SESSION = [marked(name, SLOW_TO_WARM) for name in engine_names()]

STEP_IN_ANOTHER_PROGRAM = frozenset(
    {
        "torch:compile-step",
        "torch:compile-epoch",
        "torch:cuda-graph",
        "torch:reduce-overhead",
        "torch:max-autotune",
        *(name for name in engine_names() if name.endswith(":scan")),
    }
)
"""Engines whose loss of a step may differ in its last bits from that of `loss_and_gradients`."""

each_engine = pytest.mark.parametrize("engine", OWN_SESSION)
each_precision = pytest.mark.parametrize("precision", ["float32", "float64"])


def in_pairs(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
    """An engine with a value of each: all pairs in quick engines, every value once in slow ones.

    A pair is one more graph to compile; the search for false alarms draws pairs at random.
    """
    longer = max(len(first), len(second))
    once = list(itertools.islice(zip(itertools.cycle(first), itertools.cycle(second)), longer))
    return [
        pytest.param(*each.values, *pair, marks=each.marks)
        for each in OWN_SESSION
        for pair in (once if _is_slow(each) else itertools.product(first, second))
    ]


def short(value: Any) -> str:
    """A value as a part of a test's name."""
    return str(getattr(value, "kind", value))


def _is_slow(parameter: Any) -> bool:
    return any(mark.name == "slow" for mark in parameter.marks)


OPTIMIZERS = [
    Sgd(learning_rate=0.1),
    Sgd(learning_rate=0.1, weight_decay=0.3),
    Sgd(learning_rate=0.1, momentum=0.9, weight_decay=0.3),
    Sgd(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.3),
    Adam(learning_rate=0.1, weight_decay=0.3, betas=(0.8, 0.95), eps=1e-3),
    AdamW(learning_rate=0.1, weight_decay=0.3, betas=(0.8, 0.95), eps=1e-3, decay_biases=False),
    AdamW(learning_rate=0.1, weight_decay=0.3, betas=(0.8, 0.95), eps=1e-3),
]
SCHEDULES = [
    WarmupCosine(warmup_steps=2, decay_steps=9, start_fraction=0.3, final_fraction=0.1),
    Linear(transition_steps=7, start_fraction=0.2, final_fraction=0.9),
    StepDecay(transition_steps=3, decay_rate=0.5),
    Exponential(transition_steps=4, decay_rate=0.3),
]
LOSSES = [
    CrossEntropy(),
    CrossEntropy(label_smoothing=0.2, class_weights=(0.2, 1.0, 3.0)),
    Mse(),
    Huber(delta=0.3),
    BceWithLogits(),
    BceWithLogits(pos_weight=(0.2, 1.0, 3.0)),
]


@pytest.fixture(scope="module", params=WARM_SESSION)
def warm(request: pytest.FixtureRequest) -> Session:
    """One float64 session of each engine with dropout and AdamW; tests load the state they need."""
    return open_session(make_problem(optimizer=OPTIMIZERS[-1]), request.param)


def assert_same_arrays(given: Parameters, expected: Parameters) -> None:
    """Names, order, dtypes and bits agree."""
    assert list(given) == list(expected)
    for name, array in expected.items():
        assert given[name].dtype == array.dtype
        np.testing.assert_array_equal(given[name], array, strict=True)


def assert_same_state(given: TrainState, expected: TrainState) -> None:
    """Bit for bit."""
    assert given.step == expected.step
    assert_same_arrays(given.parameters, expected.parameters)
    assert set(given.slots) == set(expected.slots)
    for slot, arrays in expected.slots.items():
        assert_same_arrays(given.slots[slot], arrays)


def assert_close_state(given: TrainState, expected: TrainState, rtol: float) -> None:
    """Elementwise within `rtol`, with an absolute term for entries near zero."""
    assert given.step == expected.step
    groups = {"parameters": (given.parameters, expected.parameters)}
    groups |= {slot: (given.slots[slot], expected.slots[slot]) for slot in expected.slots}
    for where, (ours, theirs) in groups.items():
        assert list(ours) == list(theirs)
        for name in theirs:
            np.testing.assert_allclose(
                ours[name], theirs[name], rtol=rtol, atol=rtol, err_msg=f"{where} {name}"
            )


def test_a_warm_session_agrees_with_numpy(warm: Session) -> None:
    problem = warm.problem
    state = random_state(problem, step=3)  # at a step with a full batch
    warm.load_state(state)
    batch = batch_at(problem, 3)
    masks = dropout_masks(problem, 3, batch.rows)
    logits = plain_numpy.forward(problem, state.parameters, batch.inputs, masks)
    np.testing.assert_allclose(warm.logits(batch.inputs, training=True), logits, rtol=1e-12)

    quiet = plain_numpy.forward(problem, state.parameters, batch.inputs)
    np.testing.assert_allclose(warm.logits(batch.inputs), quiet, rtol=1e-12)
    expected = plain_numpy.loss(problem, quiet, batch.targets)
    assert warm.loss(batch) == pytest.approx(expected, rel=1e-12)

    loss, gradients = warm.loss_and_gradients(batch)
    assert loss == pytest.approx(plain_numpy.loss(problem, logits, batch.targets), rel=1e-12)
    assert_same_state(warm.state(), state)  # asking changes nothing

    if warm.engine in STEP_IN_ANOTHER_PROGRAM:
        assert warm.step(batch) == pytest.approx(loss, rel=1e-14)
    else:
        assert warm.step(batch) == loss
    spec = problem.experiment.optimizer
    assert_close_state(warm.state(), plain_numpy.update(spec, state, gradients), rtol=1e-12)


def test_one_step_of_a_run_is_a_step(warm: Session) -> None:
    state = random_state(warm.problem, step=4)
    warm.load_state(state)
    loss = warm.step(warm.batch(4))
    stepped = warm.state()
    warm.load_state(state)
    losses = warm.run(1)
    assert losses.shape == (1,)
    assert losses.dtype == np.float64
    assert losses[0] == loss
    assert_same_state(warm.state(), stepped)


def test_a_run_in_parts_is_the_same_run(warm: Session) -> None:
    warm.load_state(initial_state(warm.problem))
    whole = warm.run(7)  # over the ends of two epochs of three batches, the last one partial
    end = warm.state()
    warm.load_state(initial_state(warm.problem))
    parts = [warm.run(count) for count in (1, 4, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert_same_state(warm.state(), end)
    assert end.step == 7


@each_engine
def test_five_steps_at_once_are_five_steps(engine: str) -> None:
    problem = make_problem(rows=44)  # five whole batches and a smaller one
    together, apart = (open_session(problem, engine) for _ in range(2))
    whole = together.run(5)
    parts = np.concatenate([apart.run(1) for _ in range(5)])
    np.testing.assert_allclose(whole, parts, rtol=1e-12)
    assert_close_state(together.state(), apart.state(), rtol=1e-12)
    assert together.state().step == 5


@each_engine
def test_a_changing_learning_rate_compiles_nothing_new(engine: str) -> None:
    schedule = WarmupCosine(warmup_steps=2, decay_steps=9, final_fraction=0.1)
    problem = make_problem(rows=32, optimizer=AdamW(schedule=schedule, clip_norm=0.5))
    session = open_session(problem, engine)
    session.run(4)
    compiled = session.compilations()
    session.run(8)
    assert session.compilations() == compiled
    eager = open_session(problem, "torch:eager")
    eager.run(12)
    assert_close_state(session.state(), eager.state(), rtol=1e-5)  # clipping: norm + 1e-6


@each_engine
def test_every_schedule_gives_each_step_its_rate(engine: str) -> None:
    """Plain SGD: each step's own rate is what divides its update by its gradient."""
    for schedule in SCHEDULES:
        spec = Sgd(learning_rate=0.1, schedule=schedule)
        session = open_session(make_problem(rows=24, optimizer=spec), engine)
        for step in (0, 1, 2, 3, 4, 6, 8, 11):
            while session.state().step < step:
                session.run(1)
            before = session.state().parameters
            _, gradients = session.loss_and_gradients(session.batch(step))
            session.run(1)
            expected = 0.1 * plain_numpy.schedule_factor(schedule, step)
            for name, array in session.state().parameters.items():
                moved = before[name] - array
                np.testing.assert_allclose(moved, expected * gradients[name], rtol=1e-9, atol=1e-15)
        session.load_state(random_state(session.problem, step=5))  # and after a jump
        before = session.state().parameters["layers.0.weight"]
        _, gradients = session.loss_and_gradients(session.batch(5))
        session.run(1)
        moved = before - session.state().parameters["layers.0.weight"]
        expected = 0.1 * plain_numpy.schedule_factor(schedule, 5)
        np.testing.assert_allclose(
            moved, expected * gradients["layers.0.weight"], rtol=1e-9, atol=1e-15
        )


def test_a_state_is_a_copy_and_does_not_follow_the_training(warm: Session) -> None:
    given = random_state(warm.problem)
    kept = {name: array.copy() for name, array in given.parameters.items()}
    warm.load_state(given)
    before = warm.state()
    warm.run(2)
    assert_same_arrays(before.parameters, kept)
    assert_same_arrays(given.parameters, kept)
    for array in before.parameters.values():
        array += 1.0
    assert not np.array_equal(
        warm.state().parameters["layers.0.bias"], before.parameters["layers.0.bias"]
    )


def test_nothing_is_compiled_in_the_steady_state(warm: Session) -> None:
    warm.run(3)
    compiled, built = warm.compilations(), warm.build_time()
    warm.load_state(random_state(warm.problem, step=0))
    warm.run(6)
    warm.synchronize()
    assert warm.compilations() == compiled
    assert warm.build_time() == built
    assert (compiled == 0) == (warm.engine in NEVER_COMPILES)
    builds = warm.engine not in NEVER_COMPILES or warm.engine == "flax:op-by-op"  # each operation
    assert (built.trace_s > 0, built.compile_s > 0) == (builds, builds)


@pytest.mark.parametrize(
    "batch",
    [
        Batch(np.zeros((2, 5)), np.array([0, 3])),
        Batch(np.zeros((2, 5)), np.array([-1, 0])),
        Batch(np.zeros((2, 4)), np.array([0, 1])),
        Batch(np.full((2, 5), np.nan), np.array([0, 1])),
    ],
    ids=["label too large", "negative label", "features missing", "not finite"],
)
def test_a_batch_that_does_not_fit_is_refused(warm: Session, batch: Batch) -> None:
    before = warm.state()
    with pytest.raises(DataError):
        warm.step(batch)
    assert_same_state(warm.state(), before)


@pytest.mark.parametrize("engine", ALL_ENGINES)
@each_precision
def test_the_initial_state_is_the_problems_own(engine: str, precision: Any) -> None:
    problem = make_problem(precision=precision)
    assert_same_state(open_session(problem, engine).state(), initial_state(problem))


@pytest.mark.parametrize("engine", ALL_ENGINES)
@each_precision
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda spec: f"{spec.kind}")
def test_a_state_comes_back_bit_for_bit(engine: str, precision: Any, optimizer: Any) -> None:
    problem = make_problem(precision=precision, optimizer=optimizer)
    session = open_session(problem, engine)
    state = random_state(problem, step=123_457)
    session.load_state(state)  # before the first step
    assert_same_state(session.state(), state)


@pytest.mark.parametrize("engine", ALL_ENGINES)
@each_precision
def test_masks_are_the_problems_own(engine: str, precision: Any) -> None:
    model = Mlp(in_features=5, hidden=(7, 70, 1), out_features=3, dropout=0.2)
    problem = make_problem(precision=precision, model=model)
    session = open_session(problem, engine)
    for step, rows in ((0, 1), (1, 8), (1000, 33), (2**31 + 1, 8)):
        session.load_state(TrainState(**{**vars(initial_state(problem)), "step": step}))
        drawn, expected = session.masks(rows), dropout_masks(problem, step, rows)
        assert len(drawn) == 3
        for ours, theirs in zip(drawn, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("engine", ALL_ENGINES)
def test_there_are_no_masks_without_dropout(engine: str) -> None:
    model = Mlp(in_features=5, hidden=(7,), out_features=3, dropout=0.0)
    assert open_session(make_problem(model=model), engine).masks(4) == ()


@pytest.mark.parametrize("engine", ALL_ENGINES)
@each_precision
@pytest.mark.parametrize("loss", [CrossEntropy(), Mse()], ids=lambda loss: loss.kind)
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_are_the_problems_own(
    engine: str, precision: Any, loss: Any, drop_last: bool
) -> None:
    problem = make_problem(precision=precision, loss=loss, drop_last=drop_last)
    session = open_session(problem, engine)
    for step in (0, 1, 2, 3, 8, 2):  # with partial batches, and back to an earlier epoch
        ours, theirs = session.batch(step), batch_at(problem, step)
        np.testing.assert_array_equal(ours.inputs, theirs.inputs, strict=True)
        np.testing.assert_array_equal(ours.targets, theirs.targets, strict=True)


@pytest.mark.parametrize(
    ("engine", "activation", "bias"), in_pairs(list(plain_numpy.ACTIVATIONS), [True, False])
)
def test_logits(engine: str, activation: Any, bias: bool) -> None:
    model = Mlp(in_features=5, hidden=(7, 6), out_features=3, activation=activation, bias=bias)
    problem = make_problem(model=model)
    session = open_session(problem, engine)
    state = random_state(problem)
    session.load_state(state)
    inputs = 3.0 * problem.test.inputs
    expected = plain_numpy.forward(problem, state.parameters, inputs)
    np.testing.assert_allclose(session.logits(inputs), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("engine", "hidden", "loss"), in_pairs([(), (1,), (6, 4, 3, 2)], LOSSES), ids=short
)
def test_loss_and_gradients(engine: str, hidden: Any, loss: Any) -> None:
    model = Mlp(in_features=5, hidden=hidden, out_features=3, activation="tanh", dropout=0.3)
    problem = make_problem(model=model, loss=loss)
    session = open_session(problem, engine)
    state = random_state(problem)
    session.load_state(state)
    batch = random_batch(problem.experiment, 6, seed=5)
    quiet = plain_numpy.forward(problem, state.parameters, batch.inputs)
    expected = plain_numpy.loss(problem, quiet, batch.targets)
    assert session.loss(batch) == pytest.approx(expected, rel=1e-12)

    masks = dropout_masks(problem, state.step, batch.rows)
    value, gradients = session.loss_and_gradients(batch)
    logits = plain_numpy.forward(problem, state.parameters, batch.inputs, masks)
    assert value == pytest.approx(plain_numpy.loss(problem, logits, batch.targets), rel=1e-12)
    assert list(gradients) == list(state.parameters)
    for name, gradient in gradients.items():
        assert gradient.shape == state.parameters[name].shape
        assert gradient.dtype == np.float64
        for index in np.ndindex(gradient.shape):
            entry = plain_numpy.gradient_entry(problem, state.parameters, batch, masks, name, index)
            assert gradient[index] == pytest.approx(entry, rel=1e-9, abs=1e-11), (name, index)


@each_engine
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda spec: f"{spec.kind}")
@pytest.mark.parametrize("warm_start", [False, True], ids=["fresh", "warm"])
def test_an_update(engine: str, optimizer: Any, warm_start: bool) -> None:
    problem = make_problem(optimizer=optimizer)
    session = open_session(problem, engine)
    if warm_start:
        session.load_state(random_state(problem))
    for step in range(3):
        state, batch = session.state(), batch_at(problem, step)
        _, gradients = session.loss_and_gradients(batch)
        session.step(batch)
        assert_close_state(session.state(), plain_numpy.update(optimizer, state, gradients), 1e-12)


@each_engine
def test_both_precisions_live_side_by_side(engine: str) -> None:
    sessions = {p: open_session(make_problem(precision=p), engine) for p in ("float32", "float64")}
    losses: dict[str, list[Any]] = {"float32": [], "float64": []}
    for _ in range(3):
        for precision, session in sessions.items():
            losses[precision].append(session.run(2))
    for precision, session in sessions.items():
        state = session.state()
        arrays = [
            *state.parameters.values(),
            *session.loss_and_gradients(session.batch(0))[1].values(),
        ]
        arrays += [array for slot in state.slots.values() for array in slot.values()]
        arrays += [session.logits(session.problem.test.inputs), *losses[precision]]
        assert {str(array.dtype) for array in arrays} == {precision}
    narrow, wide = (np.concatenate(losses[p]) for p in ("float32", "float64"))
    np.testing.assert_allclose(narrow, wide, rtol=1e-4)
    assert np.abs(narrow - wide).max() > 1e-9  # the narrow run was computed in float32


@pytest.mark.parametrize(
    "engine", [each for each in OWN_SESSION if each.values[0] not in OF_PROCESSES]
)
@each_precision
def test_native_randomness_runs(engine: str, precision: Any) -> None:
    problem = make_problem(precision=precision, rng="native")
    session, again = (open_session(problem, engine) for _ in range(2))
    initial = session.state()
    assert_same_state(again.state(), initial)
    assert not np.array_equal(
        initial.parameters["layers.0.weight"], initial_state(problem).parameters["layers.0.weight"]
    )
    np.testing.assert_array_equal(session.run(6), again.run(6))  # the same seed, the same run
    assert_same_state(session.state(), again.state())
    inputs = problem.test.inputs
    quiet, noisy = session.logits(inputs), session.logits(inputs, training=True)
    parameters = session.state().parameters
    np.testing.assert_allclose(
        quiet,
        plain_numpy.forward(problem, parameters, inputs),
        rtol=0,
        atol=1e-12 if precision == "float64" else 1e-5,
    )
    assert not np.allclose(quiet, noisy)
    with pytest.raises(TwofoldError, match="native"):
        session.masks(4)


def test_an_engine_without_its_device_says_so() -> None:
    bound = {name: find_engine(name)[1].device for name in engine_names()}
    missing = {name: device for name, device in bound.items() if device and name not in HERE}
    for name, device in missing.items():
        with pytest.raises(DeviceUnavailable, match=f"{name}: runs on {device} only.* finds .*cpu"):
            open_session(make_problem(device="auto"), name)
    for name, device in bound.items():
        if device not in (None, "cpu"):
            with pytest.raises(DeviceUnavailable, match=f"runs on {device} only.*'cpu'"):
                open_session(make_problem(device="cpu"), name)


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_an_absent_device_is_named(engine: str, device: str) -> None:
    from twofold.engines.registry import find_engine, probe

    present = {name.split(":")[0] for name in probe(find_engine(engine)[0])["devices"]}
    if device in present:
        pytest.skip(f"{device} is present here")
    with pytest.raises(DeviceUnavailable) as raised:
        open_session(make_problem(device=device), engine)
    assert device in str(raised.value)
    assert "cpu" in str(raised.value)
