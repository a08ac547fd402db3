"""Differences between the frameworks that every port has, and that are not in anyone's code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from twofold.port.judge.findings import rung_of
from twofold.port.judge.question import BUFFERS, Question
from twofold.port.report import Finding, PortRung
from twofold.port.side import Array
from twofold.port.twins import SAME, measure
from twofold.port.weights import Link

CAUSE: Final = (
    "running variances: PyTorch stores the unbiased variance of a batch, n / (n - 1) times what "
    "Flax stores, and normalizes with the biased one as Flax does (torch.nn.BatchNorm2d's "
    "documentation; flax/nnx/nn/normalization.py)"
)


def unbiased_variance(rung: PortRung, question: Question, links: Iterable[Link]) -> PortRung:
    """Explain running variances that differ by exactly n / (n - 1) of a batch, and no others."""
    if rung.verdict != "differs":
        return rung
    by_name = {name: link for link in links for name in link.original}
    sizes: dict[str, float] = {}
    findings = []
    for found in rung.findings:
        new = _explained(found, question, by_name.get(found.tensor), sizes)
        findings.append(new)
    if not sizes:
        return rung
    changed = rung_of(rung.rung, findings, side=rung.side, notes=[rung.note] if rung.note else [])
    counts = ", ".join(sorted({f"{n:.0f}" for n in sizes.values()}))
    text = f"{CAUSE}; n = {counts} here"
    if changed.verdict != "explained":
        return replace(changed, note="; ".join(filter(None, [changed.note, text])))
    return replace(changed, explanation=text)


def _explained(
    found: Finding, question: Question, link: Link | None, sizes: dict[str, float]
) -> Finding:
    if found.verdict != "differs" or link is None or link.kind != "one":
        return found
    momentum = question.subject.attributes(found.tensor).get("momentum")
    if not isinstance(momentum, float) or not 0 < momentum < 1:
        return found
    runs = question.both_runs(BUFFERS, link)
    before = [question.subject.state(twin)[found.tensor] for twin in range(len(runs))]
    a = [run[0][found.tensor] for run in runs]
    b = [run[1][found.tensor] for run in runs]
    for keep in (1 - momentum, momentum):
        n, corrected = _corrected(a, b, before, keep)
        measured = measure(a, corrected) if n else None
        if measured is not None and measured.ratio is not None and measured.ratio <= SAME:
            sizes[found.tensor] = n
            text = f"ratio {measured.ratio:.2g} once the variance is unbiased on both sides"
            return replace(found, verdict="explained", note=text)
    return found


def _corrected(
    a: list[Array], b: list[Array], before: list[Array], keep: float
) -> tuple[float, list[Array]]:
    """The count of a batch that turns the port's statistic into the original's; 0 for none."""
    batch = [
        (value - keep * old, other - keep * old)
        for value, other, old in zip(a, b, before, strict=True)
    ]
    with np.errstate(all="ignore"):
        factors = batch[0][0] / batch[0][1]
    factor = float(np.median(factors))
    if not np.isfinite(factors).all() or factor <= 0 or np.ptp(factors) > 1e-6 * factor:
        return 0.0, []
    larger = max(factor, 1 / factor)
    n = larger / (larger - 1) if larger > 1 else 0.0
    if not 1.5 < n < 1e8 or abs(n - round(n)) > 1e-5 * n:
        return 0.0, []
    exact = round(n) / (round(n) - 1)
    exact = exact if factor > 1 else 1 / exact
    return float(round(n)), [
        keep * old + exact * statistic for (_, statistic), old in zip(batch, before, strict=True)
    ]
