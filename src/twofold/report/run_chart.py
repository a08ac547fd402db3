"""The chart of a training: the loss over steps."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from twofold.report.style import Chart, finish


def chart(losses: Sequence[tuple[int, float | None]]) -> Chart:
    """The mean loss of each piece of a training at its last step; (step, loss) of each.

    The axis of losses is logarithmic where all are positive. A loss that is None is left out.
    """
    rows = [{"step": step, "loss": loss} for step, loss in losses if loss is not None]
    positive = all(row["loss"] > 0 for row in rows)
    scale = alt.Scale(type="log" if rows and positive else "linear", zero=False, nice=True)
    line = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=len(rows) < 60)
        .encode(
            x=alt.X("step:Q", title="steps taken"),
            y=alt.Y("loss:Q", title="training loss, mean of a piece", scale=scale),
        )
        .properties(width=480, height=260)
    )
    return finish(line)
