"""Damaged results: those that are stored here, with bytes or values changed, read and shown."""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from comparisons.claims.page import page as claims_page
from comparisons.claims.store import FILE as CLAIMS
from comparisons.claims.store import load as load_claims
from comparisons.evidence.attacks import damage
from comparisons.folders import STORED
from twofold.report.evidence import SCHEMAS, load
from twofold.report.guide import compose
from twofold.results.json_files import read_json
from twofold.studies.sweep import SCHEMA as SWEEP
from twofold.studies.sweep import Sweep
from twofold.studies.sweep_charts import heat_map, scaling_curves


def attack(seed: int, number: int, folder: Path) -> str:
    """Damage one stored result; then read all of its machine's that are of its kind."""
    rng = random.Random(f"{seed}-{number}")
    source = rng.choice(_samples())
    target = folder / source.name
    _damage(rng, source, target)
    if source.name == CLAIMS:
        claims_page(load_claims(target), "claims.json", "claims.json")
        return "accepted: a page of claims"
    if source.name.startswith("sweep"):
        header = read_json(source, SWEEP)
        sweep = Sweep.at(target, header)
        assert sweep.done is not None
        heat_map(sweep.to_json())
        scaling_curves(sweep.to_json())
        return "accepted: a sweep to go on with"
    evidence = load(folder)
    compose(evidence)
    return "accepted: a guide"


def _damage(rng: random.Random, source: Path, target: Path) -> None:
    if rng.random() < 0.4:
        target.write_bytes(damage.of_bytes(rng, source.read_bytes()))
        return
    values: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    for _ in range(rng.choice((1, 1, 2, 5))):
        damage.of_values(rng, values)
    try:
        target.write_text(json.dumps(values), encoding="utf-8", errors="surrogatepass")
    except ValueError:  # a number of too many digits for Python to write
        shutil.copy(source, target)


@cache
def _samples() -> tuple[Path, ...]:
    """Stored results of the kinds that something reads again."""
    kinds = (*SCHEMAS, "sweep", "claims")
    root = Path(__file__).parents[3] / STORED
    found = sorted(path for path in root.glob("*/*.json") if path.name.startswith(kinds))
    assert found
    return tuple(found)
