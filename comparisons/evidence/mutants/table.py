"""The mutants' results as a Markdown page."""

from __future__ import annotations

from typing import Any, Final

Row = dict[str, Any]
HEAD: Final = """\
# Mutants

Seeded porting bugs, each planted in a correct backend and run up the parity ladder in float32 and
float64. Written by `python -m comparisons.mutants`. For each: the first rung that diverges and its
worst ratio (largest |computed - oracle| / bound; up to 1 would pass). The last three columns ask
whether the usual comparisons, at their defaults, see the bug in either precision, on the same
tensors as that rung, against the correct other framework. Caught later, on the tensors of another
rung, is written *elsewhere*. They are given no tensors of step-locked training nor of several steps
in one call, so a bug that shows there alone (configured-batch-size) counts as missed by them.
"""
SHORT: Final = {
    "torch.testing.assert_close": "`assert_close`",
    "numpy.testing.assert_allclose(rtol=1e-5, atol=1e-6)": "`assert_allclose`",
    "chex.assert_trees_all_close": "chex",
}


def page(results: list[dict[str, Any]]) -> str:
    """The page of one stored result for each host."""
    lines = [HEAD, *_summary(results)]
    for result in results:
        lines += ["", f"## Planted in {result['engine']}", "", *_table(result["mutants"])]
    return "\n".join([*lines, ""])


def _summary(results: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| host | mutants | caught by the ladder | " + " | ".join(SHORT.values()) + " |",
        "|---|---|---|" + "---|" * len(SHORT),
    ]
    for result in results:
        bugs = [row for row in result["mutants"] if row["theme"] != "control"]
        cells = [result["engine"], len(bugs), sum(row["caught"] for row in bugs)]
        cells += [sum(row["peers"][peer]["on the rung"] for row in bugs) for peer in SHORT]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", *_controls(results)]
    missed = [
        f"{result['engine']} {row['name']}"
        for result in results
        for row in result["mutants"]
        if row["theme"] != "control" and not row["caught"]
    ]
    lines += ["", f"Not caught by the ladder: {', '.join(missed) if missed else 'none'}."]
    return lines


def _controls(results: list[dict[str, Any]]) -> list[str]:
    """Without a bug nothing must raise: what each comparison says of correct code."""
    rows = [row for result in results for row in result["mutants"] if row["theme"] == "control"]
    if not rows:
        return []
    alarms = {peer: sum(row["peers"][peer]["on any rung"] for row in rows) for peer in SHORT}
    peers = ", ".join(f"{SHORT[peer]} {count}" for peer, count in alarms.items())
    ladder = sum(row["caught"] for row in rows)
    return [
        f"Controls, {len(rows)} runs without a bug: alarms by the ladder {ladder}, {peers}. "
        "A comparison that raises for correct code cannot be used to find wrong code."
    ]


def _table(rows: list[Row]) -> list[str]:
    lines = [
        "| mutant | theme | float32 | float64 | " + " | ".join(SHORT.values()) + " |",
        "|---|---|---|---|" + "---|" * len(SHORT),
    ]
    for row in rows:
        seen = [_sighting(row["sightings"][p]) for p in ("float32", "float64")]
        peers = [_peer(row["peers"][peer]) for peer in SHORT]
        name = f"**{row['name']}**: {row['description']}"
        lines.append("| " + " | ".join([name, row["theme"], *seen, *peers]) + " |")
    return lines


def _sighting(sighting: Row) -> str:
    if sighting["rung"] is None:
        return "passes"
    if sighting["ratio"] is None:
        return f"{sighting['rung']}, engine breaks"
    ratio = float(sighting["ratio"])
    return sighting["rung"] if ratio == float("inf") else f"{sighting['rung']}, {ratio:.2g}"


def _peer(answer: Row) -> str:
    if answer["on the rung"]:
        return "caught"
    return "elsewhere" if answer["on any rung"] else "**missed**"
