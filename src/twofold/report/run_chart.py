"""The chart of a training: the loss over steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt

from twofold.report.style import Chart, finish

TRAINING: Final = "training, mean of a piece"
VALIDATION: Final = "validation, at the end of an epoch"
Losses = Sequence[tuple[int, float | None]]
"""Steps taken, and the loss there."""


def chart(training: Losses, validation: Losses = ()) -> Chart:
    """The mean loss of each piece of a training at its last step, and that of validation rows.

    The axis of losses is logarithmic where all are positive. A loss that is None is left out.
    """
    rows = [*_rows(training, TRAINING), *_rows(validation, VALIDATION)]
    kinds = list(dict.fromkeys(row["of"] for row in rows))
    positive = all(row["loss"] > 0 for row in rows)
    scale = alt.Scale(type="log" if rows and positive else "linear", zero=False, nice=True)
    legend = alt.Legend(title=None, orient="top") if len(kinds) > 1 else None
    line = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=len(rows) < 60)
        .encode(
            x=alt.X("step:Q", title="steps taken"),
            y=alt.Y("loss:Q", title="loss", scale=scale),
            color=alt.Color("of:N", sort=kinds, legend=legend),
        )
        .properties(width=480, height=260)
    )
    return finish(line)


def _rows(losses: Losses, of: str) -> list[dict[str, Any]]:
    return [{"step": step, "loss": loss, "of": of} for step, loss in losses if loss is not None]
