"""What the page reads of results that the guide does not show: pydantic models of the JSON."""

from __future__ import annotations

from pydantic import Field

from twofold.results.stored import Count, Measurement, Name, Number, Seconds, Share, Stored, Text


class Level(Stored):
    """A slow-down, and how often it was found."""

    slow_down: Share
    judged: Count
    slower: Count = 0
    faster: Count = 0
    target: Number
    met: bool


class Trial(Stored):
    """One comparison of an engine with itself."""

    engine: Name
    slow_down: Share
    outcome: Text


class TimingCalibration(Measurement):
    """`twofold.calibration-of-timing/1`."""

    levels: list[Level]
    trials: list[Trial]


class Steady(Stored):
    """How one engine stays at a speed."""

    median_s: Seconds
    fast_s: Seconds
    slow: Share
    stay_s: Share
    stretches: dict[Text, Share]


class Steadiness(Measurement):
    """`twofold.steadiness/1`."""

    engines: dict[Name, Steady]


class Score(Stored):
    """How one way of predicting did."""

    name: Name
    median_error: Number | None = None
    right: Count
    clear: Count
    share_right: Number | None = None
    lost: Number


class Redrawn(Stored):
    """The same, averaged over many draws."""

    name: Name
    median_error: Number | None = None
    share_right: Number
    lost: Number


class Resampled(Stored):
    """The scores over many draws."""

    scores: list[Redrawn] = Field(default_factory=list)


class Limits(Stored):
    """What the advice is held to."""

    median_error: Number
    share_right: Number


class AdviceScore(Measurement):
    """`twofold.advice-score/1`; older ones do not name the way that the advice uses."""

    targets: Limits
    way: Name | None = None
    scores: list[Score]
    resampled: Resampled = Field(default_factory=Resampled)
