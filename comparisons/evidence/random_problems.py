"""Random correct experiments, as odd as the spec allows: material for the search for false alarms.

    python -m comparisons.evidence.random_problems SEED     describes the experiment of a seed

The *plain* draws are the first generator, kept so that its stored results can be made again. The
*wide* draws have the same experiments and add, from a random stream of their own, a schedule,
clipping, label smoothing and a late warm step. The draws in *parts* are the wide ones, each batch
of two rows or more computed in micro-batches. The *full* draws are the wide ones, some of them in
parts, with every other option of the spec: activations, initial values, weights of the loss,
schedules, weight decay without biases. The draws of
*layers* are the wide ones with another model (`comparisons.evidence.random_layers`): norms,
residual blocks, a dropout rate for each layer. The draws of *texts* are the wide ones, some of
them in parts, with columns of texts (`comparisons.evidence.random_texts`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from comparisons.evidence.random_layers import with_layers
from comparisons.evidence.random_numbers import count, real
from comparisons.evidence.random_options import every_option, late_step, options_of
from comparisons.evidence.random_texts import with_rows, with_texts
from twofold.parity.ladder.reference import Reference, build_reference, moment, rounded_state
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.problem.problem import Batch, Problem, initial_state
from twofold.problem.state import Array, Parameters, TrainState
from twofold.spec.experiment import (
    Adam,
    AdamW,
    BceWithLogits,
    CrossEntropy,
    Data,
    Experiment,
    Loss,
    Mlp,
    Mse,
    Optimizer,
    Precision,
    Sgd,
)
from twofold.spec.model import embedding_of, numbered

Draws = Literal["plain", "wide", "parts", "full", "layers", "texts"]

# Those that there were when the plain draws were made; the full draws have the others.
ACTIVATIONS: Final = ("relu", "tanh", "gelu", "gelu_tanh", "silu", "sigmoid", "identity")
MAX_DEPTH: Final = 8
MAX_WIDTH: Final = 512
MAX_BATCH: Final = 512
MAX_CLASSES: Final = 1000
INPUT_SCALES: Final = (1e-6, 1e4)
LAYER_SCALES: Final = (0.2, 5.0)
LOGIT_SCALES: Final = (1e-2, 1e3)
SCALED: Final = 0.3  # share of experiments whose warm state has its last layer scaled

OPTIONS_STREAM: Final = 2**32 - 1  # no variation has these numbers
PARTS_STREAM: Final = 2**32 - 2
FULL_STREAM: Final = 2**32 - 3
LAYERS_STREAM: Final = 2**32 - 4
TEXTS_STREAM: Final = 2**32 - 5
MAX_PARTS: Final = 16
IN_PARTS: Final = 0.3  # share of the full draws that are cut into micro-batches


@dataclass(frozen=True)
class RandomCase:
    """A problem, and the factor on the last layer of its warm state (1 leaves it alone).

    `warm_step` is the number of steps that the warm state of the wide draws claims to have had,
    `draws` the generator that the case comes from.
    """

    seed: int
    problem: Problem
    logit_scale: float
    warm_step: int | None = None
    draws: Draws = "plain"

    def reference(self) -> Reference:
        """What the oracle says; the warm moment starts from the scaled state.

        The wide draws' warm state is that after one step, with another step count: the schedule,
        the bias corrections, the batch and the masks are then those of a late step.
        """
        if self.warm_step is not None:
            arithmetic = arithmetic_for(self.problem.experiment.precision)
            fresh = moment("fresh", self.problem, initial_state(self.problem), arithmetic)
            last = len(numbered(self.problem.experiment.model)) - 1
            state = rounded_state(fresh, self.warm_step, arithmetic)
            state = _scaled_layer(state, last, self.logit_scale)
            warm = moment("warm", self.problem, state, arithmetic)
            return Reference(self.problem, arithmetic, fresh, warm)
        built = build_reference(self.problem)
        if self.logit_scale == 1.0:
            return built
        last = len(numbered(self.problem.experiment.model)) - 1
        state = _scaled_layer(built.warm.state, last, self.logit_scale)
        warm = moment("warm", self.problem, state, built.arithmetic)
        return replace(built, warm=warm)

    def variation(self, number: int) -> Reference:
        """Other numbers through the same programs: new rows, new sizes of every layer's weight.

        The batch keeps its shape, so that a compiled engine need not compile again. A variation of
        the wide draws has steps of its own as well.
        """
        random = np.random.default_rng([self.seed, number])
        experiment = self.problem.experiment
        train = _rows(random, experiment, experiment.data.batch_size)
        inputs = with_rows(random, embedding_of(experiment.model), train.inputs)
        train = replace(train, inputs=inputs)
        problem = replace(self.problem, train=train)
        built = arithmetic_for(experiment.precision)
        state = initial_state(problem)
        for each in numbered(experiment.model):
            assert each.number is not None
            state = _scaled_layer(state, each.number, real(random, *LAYER_SCALES))
        steps = (0, 1) if self.draws == "plain" else (late_step(random), late_step(random))
        fresh = moment("fresh", problem, replace(state, step=steps[0]), built)
        after = rounded_state(fresh, steps[1], built)
        return Reference(problem, built, fresh, moment("warm", problem, after, built))


def draw(
    seed: int, precision: Precision, max_size: int = MAX_WIDTH, draws: Draws = "wide"
) -> RandomCase:
    """The experiment of a seed: the same numbers in every precision, but for rounding."""
    plain = _draw_plain(seed, precision, max_size)
    if draws == "plain":
        return plain
    if draws == "layers":
        random = np.random.default_rng([seed, LAYERS_STREAM])
        problem = with_layers(random, plain.problem, max_size // 2)
        return replace(_with_options(replace(plain, problem=problem)), draws="layers")
    if draws == "texts":
        random = np.random.default_rng([seed, TEXTS_STREAM])
        texts = _with_options(replace(plain, problem=with_texts(random, plain.problem, max_size)))
        cut = _in_parts(texts) if random.random() < IN_PARTS else texts
        return replace(cut, draws="texts")
    wide = _with_options(plain)
    if draws == "wide":
        return wide
    return replace(_in_parts(wide), draws="parts") if draws == "parts" else _full(wide)


def _draw_plain(seed: int, precision: Precision, max_size: int) -> RandomCase:
    random = np.random.default_rng(seed)
    size = max_size / MAX_WIDTH
    batch = count(random, 1, max(1, int(MAX_BATCH * size)))
    loss = _loss(random)
    classes = max(2, int(MAX_CLASSES * size))
    outputs = count(random, 2, classes) if loss.kind == "cross_entropy" else count(random, 1, 64)
    experiment = Experiment(
        name=f"random {seed}",
        seed=int(random.integers(2**32)),
        precision=precision,
        device="cpu",
        model=_model(random, outputs, max_size),
        loss=loss,
        optimizer=_optimizer(random),
        data=Data(
            batch_size=batch,
            shuffle=bool(random.random() < 0.8),
            drop_last=bool(random.random() < 0.3),
        ),
    )
    rows = batch + int(random.integers(0, 2 * batch + 1))
    train = _rows(random, experiment, rows)
    test = _rows(random, experiment, 3)
    extreme = random.random() < SCALED
    scale = real(random, *LOGIT_SCALES) if extreme else 1.0
    return RandomCase(seed, Problem(experiment, train, test), scale)


def _with_options(case: RandomCase) -> RandomCase:
    """The same case with a schedule, clipping, label smoothing and a late warm step."""
    random = np.random.default_rng([case.seed, OPTIONS_STREAM])
    problem = replace(case.problem, experiment=options_of(random, case.problem))
    return replace(case, problem=problem, warm_step=late_step(random), draws="wide")


def _full(case: RandomCase) -> RandomCase:
    """The same case with every other option."""
    random = np.random.default_rng([case.seed, FULL_STREAM])
    cut = _in_parts(case) if random.random() < IN_PARTS else case
    problem = replace(cut.problem, experiment=every_option(random, cut.problem.experiment))
    return replace(cut, problem=problem, draws="full")


def _in_parts(case: RandomCase) -> RandomCase:
    """The same case with 2 to MAX_PARTS micro-batches; a batch of one row stays whole."""
    random = np.random.default_rng([case.seed, PARTS_STREAM])
    experiment = case.problem.experiment
    rows = experiment.data.batch_size
    parts = count(random, min(2, rows), min(MAX_PARTS, rows))
    training = experiment.training.model_copy(update={"micro_batches": parts})
    experiment = experiment.model_copy(update={"training": training})
    return replace(case, problem=replace(case.problem, experiment=experiment))


def _model(random: np.random.Generator, outputs: int, max_width: int) -> Mlp:
    depth = int(random.integers(0, MAX_DEPTH + 1))
    dropout = 0.0 if random.random() < 0.5 else float(random.uniform(0.02, 0.9))
    return Mlp(
        in_features=count(random, 1, max_width),
        hidden=tuple(count(random, 1, max_width) for _ in range(depth)),
        out_features=outputs,
        activation=random.choice(ACTIVATIONS),
        dropout=dropout,
        bias=bool(random.random() < 0.85),
    )


def _loss(random: np.random.Generator) -> Loss:
    kinds: tuple[type[Any], ...] = (CrossEntropy, Mse, BceWithLogits)
    loss: Loss = kinds[random.choice(3, p=[0.5, 0.25, 0.25])]()
    return loss


def _optimizer(random: np.random.Generator) -> Optimizer:
    kind = random.choice(["sgd", "adam", "adamw"])
    rate = real(random, 1e-5, 1.0)
    decay = 0.0 if random.random() < 0.4 else real(random, 1e-5, 0.3)
    if kind == "sgd":
        momentum = 0.0 if random.random() < 0.3 else float(random.uniform(0.1, 0.99))
        nesterov = bool(momentum > 0 and random.random() < 0.5)
        return Sgd(learning_rate=rate, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    betas = (0.9, 0.999)
    if random.random() < 0.3:
        betas = (float(random.uniform(0, 0.99)), float(random.uniform(0.5, 0.9999)))
    eps = 1e-8 if random.random() < 0.6 else real(random, 1e-12, 1e-2)
    adam = Adam if kind == "adam" else AdamW
    return adam(learning_rate=rate, weight_decay=decay, betas=betas, eps=eps)


def _rows(random: np.random.Generator, experiment: Experiment, rows: int) -> Batch:
    model, loss = experiment.model, experiment.loss.kind
    assert model.in_features is not None
    assert model.out_features is not None
    inputs = random.standard_normal((rows, model.in_features)) * real(random, *INPUT_SCALES)
    odd = random.random()
    if odd < 0.15:  # constant features
        inputs[:, : 1 + model.in_features // 2] = inputs[0, 0]
    elif odd < 0.3:  # duplicate rows
        inputs = inputs[random.integers(0, max(1, rows // 4), rows)]
    elif odd < 0.4:  # features of very different sizes
        inputs *= 10.0 ** random.uniform(-4, 2, model.in_features)
    elif odd < 0.5:  # many zeros
        inputs *= random.random(inputs.shape) < 0.2
    inputs = inputs.astype(np.float32).astype(experiment.parameter_dtype)
    return Batch(
        inputs, _targets(random, loss, rows, model.out_features, experiment.parameter_dtype)
    )


def _targets(random: np.random.Generator, loss: str, rows: int, outputs: int, dtype: str) -> Array:
    if loss == "cross_entropy":
        return random.integers(0, outputs, rows)
    shape = (rows, outputs)
    if loss == "mse":
        targets = random.standard_normal(shape) * real(random, 1e-3, 1e3)
    elif random.random() < 0.7:
        targets = (random.random(shape) < 0.5).astype(np.float64)
    else:
        targets = random.random(shape)
    return targets.astype(np.float32).astype(dtype)


def _scaled_layer(state: TrainState, layer: int, factor: float) -> TrainState:
    """The state with one layer's weight multiplied."""
    name_of_weight = f"layers.{layer}.weight"
    parameters: Parameters = {
        name: (array * array.dtype.type(factor)) if name == name_of_weight else array
        for name, array in state.parameters.items()
    }
    return replace(state, parameters=parameters)


def describe(case: RandomCase) -> str:
    """The experiment in a few lines."""
    inputs = case.problem.train.inputs
    return (
        f"{case.problem.experiment.to_toml()}\n"
        f"# rows {case.problem.train.rows}, largest input {np.abs(inputs).max():.3g}, "
        f"last layer of the warm state times {case.logit_scale:.3g}, draws {case.draws}, "
        f"warm step {case.warm_step}"
    )


if __name__ == "__main__":
    print(describe(draw(int(sys.argv[1]), "float32")))
