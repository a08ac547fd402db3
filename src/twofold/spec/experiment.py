"""The spec of an experiment: a frozen value that says all that a run depends on.

No backend adds a default of its own: every number that PyTorch and Optax would default
differently stands here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from twofold.spec import toml
from twofold.spec.data import Data
from twofold.spec.initial_values import BiasInit, Init
from twofold.spec.layers.activation import ELU_ALPHA, LEAKY_SLOPE, ActivationName
from twofold.spec.layers.embedding import Embedding
from twofold.spec.layers.linear import Linear as LinearLayer
from twofold.spec.layers.normalization import Normalization
from twofold.spec.layers.sequence import kinds_in, require_chain
from twofold.spec.losses import BceWithLogits, CrossEntropy, Huber, Loss, Mse, wrong_weights
from twofold.spec.model import Mlp, Model, across_rows, embedding_of
from twofold.spec.schedules import (
    Constant,
    Exponential,
    Linear,
    Schedule,
    StepDecay,
    WarmupCosine,
)
from twofold.spec.section import (
    Betas,
    Fraction,
    NotNegative,
    Positive,
    PositiveInt,
    Section,
)

__all__ = [
    "ELU_ALPHA",
    "LEAKY_SLOPE",
    "PARAMETER_DTYPES",
    "ActivationName",
    "Adam",
    "AdamW",
    "BceWithLogits",
    "BiasInit",
    "Constant",
    "CrossEntropy",
    "Data",
    "Device",
    "Experiment",
    "Exponential",
    "Huber",
    "Init",
    "Linear",
    "Loss",
    "Mlp",
    "Mse",
    "Optimizer",
    "Precision",
    "Rng",
    "Schedule",
    "Section",
    "Sgd",
    "StepDecay",
    "Training",
    "WarmupCosine",
]

Precision = Literal["float32", "float64", "mixed_bfloat16"]
"""`mixed_bfloat16`: parameters, optimizer, logits and loss in float32; layers in bfloat16."""
Device = Literal["auto", "cpu", "cuda", "mps"]
Rng = Literal["shared", "native"]

PARAMETER_DTYPES: Final[Mapping[Precision, Literal["float32", "float64"]]] = {
    "float32": "float32",
    "float64": "float64",
    "mixed_bfloat16": "float32",
}


class Sgd(Section):
    """Stochastic gradient descent; `weight_decay` is added to the gradient (L2).

    In every optimizer `clip_norm`, if given, first scales all gradients g together by
    min(1, clip_norm / |g|), |g| their global 2-norm; and with `decay_biases = false` no weight
    decay touches parameters of fewer than two axes: biases, and the scales and shifts of norms.
    Both frameworks decay them unless told otherwise: PyTorch by a second parameter group with
    weight_decay = 0, Optax by a `mask` (`optax.adamw(mask=...)`).
    """

    kind: Literal["sgd"] = "sgd"
    learning_rate: Positive = 1e-2
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    decay_biases: bool = True
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
    decay_biases: bool = True
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    clip_norm: Positive | None = None
    schedule: Schedule = Constant()


class AdamW(Section):
    """AdamW (Loshchilov and Hutter, 2019): weight decay decoupled from the gradient."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 1e-2
    decay_biases: bool = True
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    clip_norm: Positive | None = None
    schedule: Schedule = Constant()


class Training(Section):
    """How long to train: `epochs` or `steps`, not both; and in how many parts a batch is computed.

    With `micro_batches` above 1 each batch goes through the model in so many parts, whose gradients
    add up to the gradient of the batch: the same step in less memory
    (`twofold.problem.micro_batches`).

    With validation rows (`data.validation_fraction`) the model of the best epoch is kept; with
    `patience` the training ends after so many epochs in a row without a better one, and `epochs` or
    `steps` are the most that it takes.
    """

    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    micro_batches: PositiveInt = 1
    patience: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            given = "neither" if self.epochs is None else "both"
            raise ValueError(f"give either epochs or steps; {given} given")
        return self


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
    model: Model = Mlp()
    loss: Loss = CrossEntropy()
    optimizer: Optimizer = AdamW()
    data: Data = Data()
    training: Training = Training(epochs=10)

    @model_validator(mode="before")
    @classmethod
    def _kind_of_model(cls, values: Any) -> Any:
        """A model without a kind is a list of layers if it has one, else an MLP."""
        model = values.get("model") if isinstance(values, Mapping) else None
        if not isinstance(model, Mapping) or "kind" in model:
            return values
        kind = "sequential" if "layers" in model else "mlp"
        return {**values, "model": {"kind": kind, **model}}

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        model = self.model
        if isinstance(model, Mlp) and model.residual and len(set(model.hidden)) > 1:
            raise ValueError(
                f"model.hidden: {list(model.hidden)} given; allowed with model.residual = true are "
                "sizes that are all equal, so that each block can be added to what enters it"
            )
        require_chain(model.layers, model.in_features, model.out_features)
        return self

    @model_validator(mode="after")
    def _texts_have_an_embedding(self) -> Self:
        model = self.model
        if isinstance(model, Mlp) and model.categories and model.embedding_features is None:
            raise ValueError(
                f"model.categories: {list(model.categories)} given without an embedding; set "
                "model.embedding_features, or leave it out"
            )
        if self.data.categorical == "embedding" and embedding_of(model) is None:
            raise ValueError(
                "data.categorical: 'embedding' given without an embedding in the model; set "
                "model.embedding_features, or begin model.layers with kind = 'embedding'"
            )
        return self

    @model_validator(mode="after")
    def _norms_are_not_mixed(self) -> Self:
        layers = kinds_in(self.model.layers)
        found = [layer.words() for layer in layers if isinstance(layer, Normalization)]
        if found and self.precision == "mixed_bfloat16":
            raise ValueError(
                f'precision: "mixed_bfloat16" given with {found[0]} in the model; allowed is '
                '"float32" or "float64": PyTorch keeps the mean and variance of bfloat16 rows in '
                "float32, Flax rounds them, and no bound here covers both"
            )
        return self

    @model_validator(mode="after")
    def _layers_across_rows_see_whole_batches(self) -> Self:
        layer = across_rows(self.model)
        if layer is None:
            return self
        if self.training.micro_batches > 1:
            raise ValueError(
                f"training.micro_batches: {self.training.micro_batches} given; allowed is 1 with "
                f"{layer} in the model: each part would be normalized by its own mean and "
                "variance, which is another function than that of the whole batch"
            )
        if self.data.batch_size == 1:
            raise ValueError(
                f"data.batch_size: 1 given; allowed is 2 or more with {layer} in the model: "
                "the variance of one row is zero, and PyTorch refuses to train on it"
            )
        return self

    @model_validator(mode="after")
    def _a_row_for_each_micro_batch(self) -> Self:
        given, rows = self.training.micro_batches, self.data.batch_size
        if given > rows:
            raise ValueError(
                f"training.micro_batches: {given} given; allowed is 1 to data.batch_size = {rows}"
            )
        return self

    @model_validator(mode="after")
    def _patience_needs_validation_rows(self) -> Self:
        if self.training.patience is not None and self.data.validation_fraction == 0:
            raise ValueError(
                f"training.patience: {self.training.patience} given without validation rows, which "
                "tell a better epoch; set data.validation_fraction above 0, or leave "
                "training.patience out"
            )
        return self

    @model_validator(mode="after")
    def _native_initial_values_are_the_frameworks_own(self) -> Self:
        linear = [x for x in kinds_in(self.model.layers) if isinstance(x, LinearLayer)]
        given: list[tuple[str, str]] = [("init", x.init) for x in linear] + [
            ("bias_init", x.bias_init) for x in linear
        ]
        tables = [x for x in kinds_in(self.model.layers) if isinstance(x, Embedding)]
        given += [("init", x.init) for x in tables]
        for field, value in given:
            if self.rng == "native" and value != "pytorch":
                raise ValueError(
                    f"model.{field}: {value!r} given with rng = 'native', which leaves initial "
                    f"values to each framework; set rng = 'shared', or leave model.{field} out"
                )
        return self

    @model_validator(mode="after")
    def _a_weight_for_each_output(self) -> Self:
        outputs = self.model.out_features
        wrong = None if outputs is None else wrong_weights(self.loss, outputs)
        if wrong is not None:
            raise ValueError(wrong)
        return self

    @property
    def parameter_dtype(self) -> Literal["float32", "float64"]:
        """The floating-point type of parameters, slots, inputs, logits and loss."""
        return PARAMETER_DTYPES[self.precision]

    @classmethod
    def load(
        cls, name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()
    ) -> Experiment:
        """The experiment of a built-in name or a TOML file; see `twofold.spec.toml.load`."""
        return toml.load(cls, name_or_path, overrides)

    @classmethod
    def from_toml(cls, text: str) -> Experiment:
        """The experiment of TOML text; paths stay as they are. Raises SpecError."""
        return toml.parse(cls, text)

    def with_values(self, **values: object) -> Experiment:
        """A copy with values replaced by dotted path, `.` written as `__`: `data__batch_size=8`.

        Raises SpecError for an unknown field or a value that is not allowed.
        """
        changes = {key.replace("__", "."): value for key, value in values.items()}
        return toml.replace(self, changes, self.name)

    def to_toml(self) -> str:
        """This experiment as TOML; loading it gives the same experiment."""
        return toml.dump(self)
