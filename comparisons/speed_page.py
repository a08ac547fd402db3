"""How fast are the engines' steps, by size of model? The stored results as one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from comparisons.rule_costs import (
    CALIBRATED_SEED,
    ENGINES,
    NEAR,
    SHARE,
    StoredRule,
    grouped,
    line_of,
)
from comparisons.rule_costs import SCHEMA as RULE_SCHEMA
from comparisons.step_parts import SCHEMA as PARTS_SCHEMA
from comparisons.step_parts import StoredParts, percent
from comparisons.workload_ratios import (
    FEWEST,
    PAIRS,
    SCHEMA,
    WORSE,
    Mean,
    StoredWorkloads,
    figures,
    steps_line,
    summary_of,
)
from twofold.report.markdown import escape
from twofold.report.wording import counted, duration, significant
from twofold.results.stored import Stored, read_result

FILE: Final = "SPEED.md"
HEAD: Final = """\
# Steps by size

How fast the engines' steps are, by size of model. Written by `python -m comparisons.pages` from the
results in [`results`](results). Every ratio of steps is of one interleaved run; starts are timed
one after the other. Parity is judged elsewhere (`twofold parity`). Timings of one machine say
nothing of others."""
WORKLOADS: Final = f"""
## Random workloads

One to three hidden layers of 16 to 512, batches of 8 to 512, with and without dropout, AdamW and
SGD. *Now* and *before* are two commits of this project, measured side by side; both are named below
and may be older than this page. *Best*: the shortest median step among `torch:compile-step` and
`torch:compile-epoch` for PyTorch, `flax:jit` and `flax:scan` for Flax. Means are geometric;
intervals (95 %), given from {FEWEST} workloads on, say how much a mean depends on which were drawn.
*Above {WORSE}*: workloads whose own interval lies above {WORSE}."""
WORKLOADS_TABLE: Final = f"""
| pair | size of a step's products | workloads | ratio | asked for | above {WORSE} |
|---|---|---|---|---|---|"""
PARTS: Final = """
## Where a step goes

Medians. *Products*: the framework's own matrix products of the same step, alone and called from
Python, over the step; above 1 where calling them takes longer than the engine's whole step. *A
call*: a call of `torch:compile-step`, or a turn of the loop of `flax:scan`, that counts and does no
more, over the step; empty for engines that step in another way. *Rate*: the step's products per
second over the most that this machine was measured to do."""
PARTS_TABLE: Final = """
| model | engine | step | products | a call | rate |
|---|---|---|---|---|---|"""
RULE: Final = f"""
## Who does not choose an engine

`default_engine` of each backend, asked for trainings of 100 to 1,000,000 steps on random workloads.
A time is from the start of the process to the result. *Near*: at most {NEAR:.2f} times the time of
the backend's best engine among those timed: {{names}}. Asked for: {SHARE:.0%} of the cases."""
CALIBRATED: Final = """
PyTorch's rule has its constants from these workloads, timed on an Intel Xeon."""
RULE_TABLE: Final = """
| backend | caches | cases | near | asked for | the worst |
|---|---|---|---|---|---|"""


def page(folders: Sequence[Path]) -> str:
    """The page of all stored machines. Raises ResultError."""
    names = "; ".join(
        ", ".join(f"`{engine}`" for engine in engines) for engines in ENGINES.values()
    )
    sections = (
        (WORKLOADS, _all(folders, "workloads", SCHEMA, StoredWorkloads), _workloads),
        (PARTS, _all(folders, "step-parts", PARTS_SCHEMA, StoredParts), _parts),
        (RULE.format(names=names), _all(folders, "default-rule", RULE_SCHEMA, StoredRule), _rule),
    )
    lines = [HEAD]
    for about, results, tell in sections:
        if results:
            lines.append(about)
        for found in results:
            lines += tell(found)
    return "\n".join(lines) + "\n"


def _all(
    folders: Sequence[Path], name: str, schema: str, model: type[Stored]
) -> list[dict[str, Any]]:
    """The results of one kind, of all machines and numbers of threads."""
    return [
        read_result(path, schema, model)
        for folder in folders
        for path in sorted(folder.glob(f"{name}-*-threads.json"))
    ]


def _where(found: Mapping[str, Any]) -> str:
    about = found["environment"]
    return f"{escape(about['processor'])}, {counted(about['threads'], 'thread')}"


def _workloads(found: Mapping[str, Any]) -> Iterator[str]:
    told = summary_of(found)
    yield f"\n### {_where(found)}"
    yield f"\nBefore: {found['before']}. Now: {found['now']}. Seed {found['seed']}."
    yield WORKLOADS_TABLE
    yield from (_mean_row(mean) for mean in (*told.all_sizes, *told.by_size))
    yield "\n<details><summary>Every workload</summary>\n"
    by_size = sorted(found["workloads"], key=lambda each: float(each["flops"]))
    yield from (f"- {escape(steps_line(each))}" for each in by_size)
    yield "\n</details>"


def _mean_row(mean: Mean) -> str:
    asked = ""
    if mean.at_most is not None:
        asked = f"at most {mean.at_most:.2f}: {mean.outcome}"
    count = f"{mean.count}" + (f" ({mean.missing} not measured)" if mean.missing else "")
    worse = str(mean.worse) if mean.pair in ("torch", "flax") else ""
    return f"| {PAIRS[mean.pair]} | {mean.band} | {count} | {figures(mean)} | {asked} | {worse} |"


def _parts(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### {_where(found)}"
    yield PARTS_TABLE
    for model in found["models"]:
        for part in model["steps"]:
            yield _part_row(escape(model["experiment"]["name"]), part)


def _part_row(model: str, part: Mapping[str, Any]) -> str:
    def share(ratio: Mapping[str, Any] | None) -> str:
        if ratio is None:
            return ""
        return "not measured" if ratio["median"] is None else significant(ratio["median"])

    if part["step_s"] is None:
        return f"| {model} | {part['engine']} | could not be measured | | | |"
    step, rate = duration(part["step_s"]), percent(part["rate_of_step"])
    shares = f"{share(part['products'])} | {share(part['floor'])}"
    return f"| {model} | {part['engine']} | {step} | {shares} | {rate} |"


def _rule(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### {_where(found)}"
    seen = CALIBRATED if found["seed"] == CALIBRATED_SEED else ""
    yield f"\n{counted(len(found['workloads']), 'workload')}, seed {found['seed']}.{seen}"
    yield RULE_TABLE
    for group in grouped(found["cases"]):
        worst = max(group.cases, key=lambda case: float(case["cost"]), default=None)
        told = "" if worst is None else escape(line_of(worst))
        counts = f"{len(group.cases)} | {group.near} | {'met' if group.met else 'missed'}"
        yield f"| {group.backend} | {group.caches} | {counts} | {told} |"


def folders_with_speed(results: Path) -> list[Path]:
    """The folders of stored machines that hold something for the page."""
    names = ("workloads", "step-parts", "default-rule")
    return [
        path
        for path in sorted(results.iterdir())
        if path.is_dir() and any(any(path.glob(f"{name}-*-threads.json")) for name in names)
    ]
