"""PORTS.md: ports that this project did not write, and how far their judge can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from comparisons.evidence.ports.page import section
from comparisons.evidence.ports.stored import NAME as JUDGED
from comparisons.evidence.ports.stored import Stored
from comparisons.evidence.ports.stored import load as load_judged
from comparisons.ports.proofs import PROOFS
from twofold.files import write_text
from twofold.results.json_files import read_json

SCHEMA: Final = "twofold.ports/1"
NAME: Final = "ports"
FILE: Final = "PORTS.md"

HEAD: Final = """\
# Ports

What the judge of ports (`twofold.port`) says of ports that this project did not write, and how far
it can be trusted. Written by `python -m comparisons.ports --table` from stored results. Every pair
was judged through the public names of `twofold.port`, in float64. The *ratio* is the largest
difference over the noise of rounding: the same up to 64, different from 4,096. The *size* is the
largest difference over the largest number, on the first tensor that differs.
"""

DIFFERS: Final = "not the same function"
UNDECIDED: Final = "undecided"
EXPLAINED: Final = "the same function, with explained differences"

TITLES: Final = {
    "models": "Flax models of Transformers 4.53.3 against their PyTorch originals",
    "NNX": "Layers of Flax NNX against PyTorch's",
    "Linen": "Layers of Flax Linen against PyTorch's",
    "functions": "Functions of JAX against PyTorch's",
    "losses": "Losses of Optax against PyTorch's",
    "optimizers": "Rules and schedules of Optax against torch.optim's, three steps",
}


def page(results: Sequence[dict[str, Any]], judged: Stored) -> str:
    """Markdown: how far the judge can be trusted, then a table for each group with its proofs."""
    rows = [row | {"key": key} for result in results for key, row in result["rows"].items()]
    lines = [HEAD, *section(judged)]
    lines += ["## Ports that this project did not write", ""]
    if not rows:
        lines += ["Nothing is stored.", ""]
    for group, title in TITLES.items():
        of_group = [row for row in rows if row["group"] == group]
        lines += _table(title, of_group) if of_group else [f"### {title}", "", "Not asked yet.", ""]
    return "\n".join(lines).rstrip() + "\n"


def load(folder: Path) -> list[dict[str, Any]]:
    """Stored results in the order of their names. Raises ResultError."""
    return [read_json(path, SCHEMA) for path in sorted(folder.glob("*.json"))]


def write(results: Path, target: Path) -> Path:
    """Write the page of the results in a folder such as `comparisons/results`."""
    write_text(target, page(load(results / NAME), load_judged(results / JUDGED)))
    return target


def _table(title: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    counts = Counter(row["outcome"] for row in rows)
    lines = [f"### {title}", "", ", ".join(f"{n} {word}" for word, n in counts.items()) + ".", ""]
    lines += ["| pair | arguments | verdict | ratio | size | rung | place | cause or note |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2g}"
        cause = row["cause"] or (row["note"] if row["outcome"] != DIFFERS else "")
        size = f"{row['size']:.2g}" if row.get("size") else ""
        cells = (row["name"], row["arguments"], row["outcome"], ratio, size, row["rung"])
        lines.append("| " + " | ".join(_cell(str(c)) for c in (*cells, row["place"], cause)) + " |")
    lines.append("")
    for row in rows:
        if row["key"] in PROOFS and row["outcome"] in (DIFFERS, UNDECIDED, EXPLAINED):
            told = f"{row['name']} ({row['arguments']})"
            lines += [f"**{told}.** The shortest proof:", "", "```python"]
            lines += [*PROOFS[row["key"]].strip().splitlines(), "```", ""]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
