"""The stored results of several processes as one page of Markdown."""

from __future__ import annotations

from typing import Any, Final

from twofold.report.markdown import escape

HEAD: Final = """\
# Several processes, one training

What engines of processes compute in worlds of several sizes, and what becomes of a training one of
whose processes is killed. [From one process to many](../docs/many-processes.md) says how they work.
Written by `python -m comparisons.many_processes --page FILE` from the stored results of
`python -m comparisons.many_processes --store`. Nothing here was timed.
"""
LADDERS: Final = """
## The ladder

Every rung of `twofold parity` in float32 and float64, climbed by all processes together.
*Explained* rungs fit a difference of the framework that is known and named. *Nearest*: how near the
worst element of all rungs came to its bound; beyond 1 it would diverge. Most batches do not divide
among three or four processes; of batches of three rows a fourth process has none. Batch norm is for
Flax's engines alone.

| engine | processes | experiment | certified | explained | others | nearest | where |
|---|---|---|---|---|---|---|---|"""
KILLS: Final = """
## Kills

A training with a checkpoint after every seventh step, whose batches do not divide; SIGKILL for one
process after a random checkpoint; then `--resume`. *Same bits*: the model is that of a training
that was never stopped.

| engine | processes | killed | all ended after | named | same bits |
|---|---|---|---|---|---|"""


def page(result: dict[str, Any]) -> str:
    """The page of a result of `python -m comparisons.many_processes`."""
    found = result["environment"]
    versions = ", ".join(f"{name} {found['versions'][name]}" for name in ("torch", "jax", "flax"))
    where = f"\nMeasured on {escape(found['processor'])} with {versions}."
    ladders = (_ladder(each) for each in result["ladders"])
    kills = (_kill(each) for each in result["kills"])
    return "\n".join([HEAD.rstrip(), where, LADDERS, *ladders, KILLS, *kills, ""])


def _ladder(each: dict[str, Any]) -> str:
    verdicts, worst = dict(each["verdicts"]), each["worst"]
    certified, explained = verdicts.pop("certified", 0), verdicts.pop("explained", 0)
    others = ", ".join(f"{count} {name}" for name, count in verdicts.items()) or "none"
    return (
        f"| {each['engine']} | {each['processes']} | {each['case']} | {certified} | {explained} | "
        f"{others} | {worst['worst_ratio']:.2g} | {worst['rung']}, {worst['precision']} |"
    )


def _kill(each: dict[str, Any]) -> str:
    named, same = ("yes" if each[name] else "no" for name in ("named", "same_bits"))
    return (
        f"| {each['engine']} | {each['processes']} | process {each['killed']} | "
        f"{each['seconds_to_end']:.0f} s | {named} | {same} |"
    )
