"""The spec of an experiment: a frozen value that says all that a run depends on.

No backend adds a default of its own: every number that PyTorch and Optax would default
differently stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, model_validator

Activation = Literal["relu", "tanh", "gelu", "gelu_tanh", "silu", "sigmoid", "identity"]
Precision = Literal["float32", "float64", "mixed_bfloat16"]
"""`mixed_bfloat16`: parameters, optimizer, logits and loss in float32; layers in bfloat16."""
Device = Literal["auto", "cpu", "cuda", "mps"]
Rng = Literal["shared", "native"]

PARAMETER_DTYPES: Final[Mapping[Precision, Literal["float32", "float64"]]] = {
    "float32": "float32",
    "float64": "float64",
    "mixed_bfloat16": "float32",
}

PositiveInt = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
HiddenSizes = Annotated[
    tuple[Annotated[StrictInt, Field(ge=1)], ...], Field(strict=False, max_length=64)
]
Betas = Annotated[
    tuple[
        Annotated[StrictFloat, Field(ge=0, lt=1, allow_inf_nan=False)],
        Annotated[StrictFloat, Field(ge=0, lt=1, allow_inf_nan=False)],
    ],
    Field(strict=False),
]


class Section(BaseModel):
    """What all parts of an experiment share: frozen, strict types, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Mlp(Section):
    """A multi-layer perceptron: linear layers with an activation and dropout after each hidden one.

    `in_features` and `out_features` may be left out: the data then decides.
    """

    kind: Literal["mlp"] = "mlp"
    in_features: PositiveInt | None = None
    hidden: HiddenSizes = (128, 128)
    out_features: PositiveInt | None = None
    activation: Activation = "relu"
    dropout: Fraction = 0.0
    bias: bool = True


class CrossEntropy(Section):
    """Softmax cross-entropy of logits and integer class labels, mean over the batch.

    With `label_smoothing` e the target distribution is 1 - e on the label plus e / classes on all.
    """

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Fraction = 0.0


class Mse(Section):
    """Squared error, mean over batch and outputs (no factor one half)."""

    kind: Literal["mse"] = "mse"


class BceWithLogits(Section):
    """Binary cross-entropy of logits and targets in [0, 1], mean over batch and outputs."""

    kind: Literal["bce_with_logits"] = "bce_with_logits"


class Constant(Section):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"


class WarmupCosine(Section):
    """Linear warm-up from zero, then cosine decay.

    Before step t (from 0) the rate is `learning_rate` times t / warmup_steps while
    t < warmup_steps, then final_fraction + (1 - final_fraction) (1 + cos(pi x)) / 2, where x goes
    from 0 to 1 between warmup_steps and decay_steps and stays there: `decay_steps` counts the
    warm-up, as in `optax.warmup_cosine_decay_schedule` (Optax 0.2.8).
    """

    kind: Literal["warmup_cosine"] = "warmup_cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    decay_steps: PositiveInt
    final_fraction: Fraction = 0.0

    @model_validator(mode="after")
    def _decay_follows_warmup(self) -> Self:
        if self.decay_steps <= self.warmup_steps:
            raise ValueError(
                f"decay_steps = {self.decay_steps} given; it counts the warm-up, so allowed is "
                f"more than warmup_steps = {self.warmup_steps}"
            )
        return self


Schedule = Annotated[Constant | WarmupCosine, Field(discriminator="kind")]


class Sgd(Section):
    """Stochastic gradient descent; `weight_decay` is added to the gradient (L2).

    In every optimizer `clip_norm`, if given, first scales all gradients g together by
    min(1, clip_norm / |g|), |g| their global 2-norm.
    """

    kind: Literal["sgd"] = "sgd"
    learning_rate: Positive = 1e-2
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    clip_norm: Positive | None = None
    schedule: Schedule = Constant()

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov = true needs a momentum above 0; set optimizer.momentum")
        return self


class Adam(Section):
    """Adam (Kingma and Ba, 2015); `weight_decay` is added to the gradient (L2)."""

    kind: Literal["adam"] = "adam"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    clip_norm: Positive | None = None
    schedule: Schedule = Constant()


class AdamW(Section):
    """AdamW (Loshchilov and Hutter, 2019): weight decay decoupled from the gradient."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 1e-2
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    clip_norm: Positive | None = None
    schedule: Schedule = Constant()


class Data(Section):
    """Where the data comes from and how it is fed.

    `source` is a built-in name (`synthetic`, `digits`, `breast-cancer`, `diabetes`), an `.npz`
    with the arrays `inputs` and `targets`, or a `.csv` with `target` naming its column. A path is
    relative to the spec's own folder. `rows` belongs to `synthetic` alone. `standardize` brings
    inputs, and for `mse` the targets too, to zero mean and unit variance on the training rows.
    """

    source: Annotated[str, Field(min_length=1)] = "synthetic"
    target: Annotated[str, Field(min_length=1)] | None = None
    rows: PositiveInt | None = None
    batch_size: PositiveInt = 64
    shuffle: bool = True
    drop_last: bool = False
    standardize: bool = True
    test_fraction: Fraction = 0.2


class Training(Section):
    """How long to train: `epochs` or `steps`, not both; and in how many parts a batch is computed.

    With `micro_batches` above 1 each batch goes through the model in so many parts, whose gradients
    add up to the gradient of the batch: the same step in less memory
    (`twofold.problem.micro_batches`).
    """

    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    micro_batches: PositiveInt = 1

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            given = "neither" if self.epochs is None else "both"
            raise ValueError(f"give either epochs or steps; {given} given")
        return self


Loss = Annotated[CrossEntropy | Mse | BceWithLogits, Field(discriminator="kind")]
Optimizer = Annotated[Sgd | Adam | AdamW, Field(discriminator="kind")]


class Experiment(Section):
    """One experiment: model, loss, optimizer, data, training, precision, device, rng and seed.

    `precision = "mixed_bfloat16"` keeps parameters, optimizer slots, logits and loss in float32;
    linear layers, activations and dropout compute in bfloat16.

    `rng = "shared"` gives both frameworks the same initial values and dropout masks, bit for bit;
    `"native"` leaves both to each framework.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)] = "experiment"
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    precision: Precision = "float32"
    device: Device = "auto"
    rng: Rng = "shared"
    model: Mlp = Mlp()
    loss: Loss = CrossEntropy()
    optimizer: Optimizer = AdamW()
    data: Data = Data()
    training: Training = Training(epochs=10)

    @model_validator(mode="after")
    def _a_row_for_each_micro_batch(self) -> Self:
        given, rows = self.training.micro_batches, self.data.batch_size
        if given > rows:
            raise ValueError(
                f"training.micro_batches: {given} given; allowed is 1 to data.batch_size = {rows}"
            )
        return self

    @property
    def parameter_dtype(self) -> Literal["float32", "float64"]:
        """The floating-point type of parameters, slots, inputs, logits and loss."""
        return PARAMETER_DTYPES[self.precision]

    @classmethod
    def load(cls, name_or_path: str, overrides: tuple[str, ...] = ()) -> Experiment:
        """The experiment of a built-in name or a TOML file; see `twofold.spec.toml.load`."""
        from twofold.spec import toml

        return toml.load(name_or_path, overrides)

    def with_values(self, **values: object) -> Experiment:
        """A copy with values replaced by dotted path, `.` written as `__`: `data__batch_size=8`.

        Raises SpecError for an unknown field or a value that is not allowed.
        """
        from twofold.spec import toml

        return toml.replace(self, {k.replace("__", "."): v for k, v in values.items()})

    def to_toml(self) -> str:
        """This experiment as TOML; loading it gives the same experiment."""
        from twofold.spec import toml

        return toml.dump(self)
