"""The page of what the judge says of ports that this project did not write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

TITLES: Final = {
    "models": "Flax models of Transformers 4.53.3 against their PyTorch originals",
    "NNX": "Layers of Flax NNX against PyTorch's",
    "Linen": "Layers of Flax Linen against PyTorch's",
    "functions": "Functions of JAX against PyTorch's",
    "losses": "Losses of Optax against PyTorch's",
    "optimizers": "Rules and schedules of Optax against torch.optim's, three steps",
}


def page(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a table for each group, and proofs below it."""
    rows = [row for result in results for row in result["rows"].values()]
    lines = ["# Ports that this project did not write", ""]
    lines += [
        "Written by `python -m comparisons.ports` from stored results. Every pair was judged "
        "through the public names of `twofold.port`. The ratio is the largest difference over the "
        "noise of rounding, in float64: the same up to 64, different from 4,096.",
        "",
    ]
    for group, title in TITLES.items():
        of_group = [row for row in rows if row["group"] == group]
        if of_group:
            lines += _table(title, of_group)
    return "\n".join(lines).rstrip() + "\n"


def _table(title: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    counts = Counter(row["outcome"] for row in rows)
    lines = [f"## {title}", "", ", ".join(f"{n} {word}" for word, n in counts.items()) + ".", ""]
    lines += ["| pair | arguments | verdict | ratio | rung | place | cause |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2g}"
        cause = row["cause"] or (
            row["note"]
            if not row["outcome"].startswith("the same function") or "explained" in row["outcome"]
            else ""
        )
        cells = (row["name"], row["arguments"], row["outcome"], ratio, row["rung"], row["place"])
        lines.append("| " + " | ".join(_cell(str(c)) for c in (*cells, cause)) + " |")
    lines.append("")
    for row in rows:
        if row["proof"]:
            lines += [f"**{row['name']}.** The shortest proof:", "", "```python"]
            lines += [*row["proof"].strip().splitlines(), "```", ""]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
