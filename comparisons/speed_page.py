"""How fast are the engines' steps, by size of model? The stored results as one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from comparisons.default_rule import ENGINES, NEAR, StoredRule, line_of
from comparisons.default_rule import SCHEMA as RULE_SCHEMA
from comparisons.step_parts import SCHEMA as PARTS_SCHEMA
from comparisons.step_parts import StoredParts
from comparisons.workload_ratios import (
    PAIRS,
    SCHEMA,
    WORSE,
    Mean,
    StoredWorkloads,
    steps_line,
    summary_of,
)
from twofold.report.markdown import escape
from twofold.report.wording import counted, duration
from twofold.results.stored import read_result

FILE: Final = "SPEED.md"
HEAD: Final = """\
# Steps by size

How fast the engines' steps are on workloads that nobody tuned, where a step goes, and what the
choice of an engine costs who does not choose one. Written by `python -m comparisons.pages` from the
results in [`results`](results). Every ratio is of one interleaved run; parity is judged elsewhere
(`twofold parity`). Timings of one machine say nothing of others."""
WORKLOADS: Final = f"""
Random workloads: one to three hidden layers of 16 to 512, batches of 8 to 512, with and without
dropout, AdamW and SGD. *Now* and *before* are two commits of this project, measured side by side.
*Best*: the shortest median step among `torch:compile-step` and `torch:compile-epoch` for PyTorch,
`flax:jit` and `flax:scan` for Flax. Means are geometric; intervals (95 %) say how much they depend
on which workloads were drawn. *Above {WORSE}*: workloads whose own interval lies above {WORSE}.

| pair | size of a step's products | workloads | ratio | asked for | above {WORSE} |
|---|---|---|---|---|---|"""
PARTS: Final = """
Medians. *Products*: the framework's own matrix products of the same step, alone, over the step; it
exceeds 1 where an engine multiplies small matrices faster than the framework's products do.
*A call*: a compiled step that counts and does no more, over the step; engines that are not compiled
have no such call. *Rate*: the step's products per second over the most that this machine was
measured to do.

| model | engine | step | products | a call | rate |
|---|---|---|---|---|---|"""
RULE: Final = f"""
`default_engine` of each backend, asked for trainings of 100 to 1,000,000 steps on random workloads.
A time is from the start of the process to the result. *Near*: at most {NEAR:.2f} times the time of
the best of {{names}}; nine of ten are asked for.

| backend | caches | cases | near | the worst |
|---|---|---|---|---|"""


def page(folders: Sequence[Path]) -> str:
    """The page of all stored machines. Raises ResultError."""
    lines = [HEAD]
    for folder in folders:
        for path in sorted(folder.glob("workloads-*-threads.json")):
            lines += _workloads(read_result(path, SCHEMA, StoredWorkloads))
        for path in sorted(folder.glob("step-parts-*-threads.json")):
            lines += _parts(read_result(path, PARTS_SCHEMA, StoredParts))
        for path in sorted(folder.glob("default-rule-*-threads.json")):
            lines += _rule(read_result(path, RULE_SCHEMA, StoredRule))
    return "\n".join(lines) + "\n"


def _where(found: Mapping[str, Any]) -> str:
    about = found["environment"]
    return f"{escape(about['processor'])}, {counted(about['threads'], 'thread')}"


def _workloads(found: Mapping[str, Any]) -> Iterator[str]:
    told = summary_of(found)
    yield f"\n## Random workloads: {_where(found)}"
    yield f"\nCommits {found['before']} and {found['now']}, seed {found['seed']}."
    yield WORKLOADS
    yield from (_mean_row(mean) for mean in (*told.all_sizes, *told.by_size))
    yield "\n<details><summary>Every workload</summary>\n"
    by_size = sorted(found["workloads"], key=lambda each: float(each["flops"]))
    yield from (f"- {escape(steps_line(each))}" for each in by_size)
    yield "\n</details>"


def _mean_row(mean: Mean) -> str:
    ratio = "could not be measured"
    if mean.mean is not None:
        ratio = f"{mean.mean:.2f} ({mean.low:.2f} to {mean.high:.2f})"
    asked = ""
    if mean.at_most is not None:
        asked = f"at most {mean.at_most:.2f}: {mean.outcome}"
    count = f"{mean.count}" + (f" ({mean.missing} not measured)" if mean.missing else "")
    worse = str(mean.worse) if mean.pair in ("torch", "flax") else ""
    return f"| {PAIRS[mean.pair]} | {mean.band} | {count} | {ratio} | {asked} | {worse} |"


def _parts(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## Where a step goes: {_where(found)}"
    yield PARTS
    for model in found["models"]:
        for part in model["steps"]:
            yield _part_row(escape(model["experiment"]["name"]), part)


def _part_row(model: str, part: Mapping[str, Any]) -> str:
    def share(name: str) -> str:
        return "not measured" if part[name]["median"] is None else f"{part[name]['median']:.2f}"

    if part["step_s"] is None:
        return f"| {model} | {part['engine']} | could not be measured | | | |"
    # What an engine that is not compiled calls is no graph.
    floor = "" if ":eager" in part["engine"] else share("floor")
    rate = f"{part['rate_of_step']:.0%}"
    step = duration(part["step_s"])
    return f"| {model} | {part['engine']} | {step} | {share('products')} | {floor} | {rate} |"


def _rule(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## Who does not choose an engine: {_where(found)}"
    yield RULE.format(names=", ".join(f"`{name}`" for each in ENGINES.values() for name in each))
    for backend in ENGINES:
        for warm in (False, True):
            cases = [
                case
                for case in found["cases"]
                if (case["backend"], case["warm"]) == (backend, warm)
            ]
            near = sum(case["cost"] <= NEAR for case in cases)
            worst = max(cases, key=lambda case: float(case["cost"]), default=None)
            told = "" if worst is None else escape(line_of(worst))
            state = "full" if warm else "empty"
            yield f"| {backend} | {state} | {len(cases)} | {near} | {told} |"


def folders_with_speed(results: Path) -> list[Path]:
    """The folders of stored machines that hold something for the page."""
    names = ("workloads", "step-parts", "default-rule")
    return [
        path
        for path in sorted(results.iterdir())
        if path.is_dir() and any(any(path.glob(f"{name}-*-threads.json")) for name in names)
    ]
