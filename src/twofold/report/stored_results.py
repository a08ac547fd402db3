"""What the report reads of each kind of result: pydantic models of the stored JSON."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from twofold.results.stored import (
    Count,
    Measurement,
    Name,
    Number,
    Part,
    Positive,
    Ratio,
    Seconds,
    Share,
    Sparse,
    Stored,
    Text,
)

Outcome = Literal["faster", "slower", "not distinguishable", "could not be measured"]


class Network(Stored):
    """The part of a spec that says what is trained."""

    hidden: list[Count]
    activation: Text
    dropout: Number = 0.0


class Optimizer(Stored):
    """The part of a spec that says what updates the parameters."""

    kind: Text


class Data(Stored):
    """The part of a spec that says what it is trained on."""

    batch_size: Positive


class Experiment(Sparse):
    """The spec that was run, as far as a page tells of it."""

    name: Name
    seed: int = 0
    precision: Text | None = None
    model: Network | None = None
    optimizer: Optimizer | None = None
    data: Data | None = None


class Interval(Stored):
    """A median with its interval, in seconds."""

    median: Seconds
    low: Seconds
    high: Seconds


class Start(Stored):
    """Where the seconds of one start went; None where nobody looked."""

    import_s: Part | None = None
    opening_s: Part | None = None
    trace_s: Part | None = None
    compile_s: Part | None = None
    first_run_s: Part | None = None
    later_build_s: Part | None = None


class EngineTiming(Stored):
    """One engine, or another subject, that was timed or could not be."""

    engine: Name
    status: Text = "measured"
    reason: Text | None = None
    step_s: Interval | None = None
    cold_start_s: Seconds | None = None
    warm_start_s: Seconds | None = None
    cold_start: Start | None = None
    warm_start: Start | None = None

    @model_validator(mode="after")
    def _figures(self) -> Self:
        if self.status == "measured" and (self.step_s is None or self.cold_start_s is None):
            raise ValueError("step_s and cold_start_s are needed where status is 'measured'")
        return self


class Comparison(Stored):
    """The step time of an engine over that of a reference."""

    engine: Name
    reference: Name
    median: Ratio | None = None
    low: Ratio | None = None
    high: Ratio | None = None
    outcome: Outcome


class Timing(Measurement):
    """`twofold.timing/1`; `steps` are those of the experiment."""

    experiment: Experiment
    unchecked: bool = False
    interrupted: bool = False
    warnings: list[Text] = Field(default_factory=list)
    steps: Positive | None = None
    engines: list[EngineTiming]
    ratios: list[Comparison] = Field(default_factory=list)


class Worst(Stored):
    """The worst element of a rung."""

    tensor: Text
    index: list[int] = Field(default_factory=list)
    computed: float | Text | None = None
    oracle: float | Text | None = None
    bound: float | Text | None = None


class Explanation(Stored):
    """A known difference that accounts for a rung."""

    cause: Text
    source: Text
    consequence: Text
    size: Text
    ratio_without: Share | None = None


class Rung(Stored):
    """One check of one engine in one precision."""

    rung: Name
    engine: Name
    precision: Name
    verdict: Name
    worst_ratio: Share | None = None
    worst: Worst | None = None
    note: Text = ""
    explanation: Explanation | None = None
    diagnosis: list[Text] = Field(default_factory=list)


class Parity(Measurement):
    """`twofold.parity/1`; older results do not say in words what follows."""

    experiment: Experiment
    passed: bool = False
    outcome: Text | None = None
    conclusion: Text = ""
    not_exercised: list[Text] = Field(default_factory=list)
    rungs: list[Rung]


class Score(Stored):
    """The test metric of one training; None where it was not finite."""

    name: Text
    value: Number | None = None
    baseline: Number | None = None
    rows: Count


class Epoch(Stored):
    """One pass over the data; the loss is None where it was not finite."""

    loss: Number | None = None


class Training(Measurement):
    """`twofold.training/1`."""

    experiment: Experiment
    engine: Name
    outcome: Text
    steps: Count
    epochs: list[Epoch]
    score: Score | None = None
    training_seconds: Part


class Sample(Stored):
    """One engine's final metrics over its seeds."""

    engine: Name
    values: list[Number | None]


class Pair(Stored):
    """What the equivalence test says of two engines."""

    left: Name
    right: Name
    verdict: Text
    reason: Text = ""


class OutcomeStudy(Measurement):
    """`twofold.outcome/1`."""

    experiment: Experiment
    metric: Text
    margin: Number
    samples: list[Sample]
    pairs: list[Pair]


class Parting(Stored):
    """Where two runs first went apart."""

    tensor: Text
    step: Count


class Curve(Stored):
    """The distance of two runs at the sampled steps."""

    kind: Literal["from float64", "between engines", "noise floor"]
    left: Name
    right: Name
    distance: list[Share | None]
    partings: list[Parting] = Field(default_factory=list)


class Divergence(Measurement):
    """`twofold.divergence/1`."""

    experiment: Experiment
    steps: Annotated[list[Positive], Field(min_length=1)]
    parted_above: Number
    curves: list[Curve]

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        for number, curve in enumerate(self.curves):
            if len(curve.distance) != len(self.steps):
                raise ValueError(
                    f"curves[{number}].distance has {len(curve.distance)} values, steps "
                    f"{len(self.steps)}; they must be as many"
                )
        return self


class TimedSubjects(Measurement):
    """`twofold.feeding/1` and `twofold.peers/1`."""

    experiment: Experiment
    reference: Name
    timings: list[EngineTiming]
    ratios: list[Comparison] = Field(default_factory=list)
    unlike: dict[Text, Text] = Field(default_factory=dict)


class Target(Stored):
    """One speed target with what came of it."""

    name: Name
    subject: Text
    figure: Number | None = None
    low: Number | None = None
    high: Number | None = None
    at_most: Number | None = None
    at_least: Number | None = None
    outcome: Text
    reason: Text = ""

    @model_validator(mode="after")
    def _limit(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise ValueError("at_most or at_least is needed")
        return self


class Targets(Measurement):
    """`twofold.targets/1`."""

    targets: list[Target]
