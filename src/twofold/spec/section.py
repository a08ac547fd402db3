"""What every part of a spec is made of: a frozen section, and the numbers that stand in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt

PositiveInt = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PositiveShare = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
HiddenSizes = Annotated[
    tuple[Annotated[StrictInt, Field(ge=1)], ...], Field(strict=False, max_length=64)
]
Weights = Annotated[
    tuple[Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)], ...],
    Field(strict=False, min_length=1),
]
"""Positive numbers, one for each class or output."""
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
