"""Verdicts from what was observed rather than timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, Final

from comparisons.claims.claim import Case, Figure, Findings, Judgement, NotMeasured
from comparisons.claims.judging import above, figure, judge, mean_interval
from twofold.report.wording import counted

CLOSE_TO_BEST: Final = 0.02
ROUNDING: Final = 1e-12
SGD: Final = "sgd with momentum"


def functional_is_less_ergonomic(findings: Findings) -> Judgement:
    """jax.jit refuses functions that eager PyTorch runs as they are written."""
    outcomes = findings["outcomes"]
    right = {way: runs_right(each) for way, each in outcomes.items()}
    figures = tuple(
        Figure(f"{way}: functions that run unchanged, of {len(outcomes[way])}", count)
        for way, count in right.items()
    )
    case = Case("jax.jit against eager PyTorch", right["jax.jit"] < right["torch eager"], figures)
    return judge([case], "fewer functions run unchanged under jax.jit")


def runs_right(outcomes: Mapping[str, str]) -> int:
    return sum(outcome == "right" for outcome in outcomes.values())


def feels_like_python(findings: Findings) -> Judgement:
    """Every function runs unchanged in eager PyTorch, and a print inside shows the value."""
    outcomes, prints = findings["outcomes"], findings["prints"]
    cases = [
        Case(
            "loops and branches",
            runs_right(outcomes["torch eager"]) == len(outcomes["torch eager"]),
            (
                Figure(
                    f"torch eager: functions that run unchanged, of {len(outcomes['torch eager'])}",
                    runs_right(outcomes["torch eager"]),
                ),
            ),
        ),
        Case(
            "printing",
            prints["torch eager"]["shows the value"],
            tuple(
                Figure(f"{way}: a print shows", each["shown"], "words")
                for way, each in prints.items()
            ),
        ),
    ]
    return judge(cases, "Python works inside the model")


def adam_is_robust(findings: Findings) -> Judgement:
    """Adam and AdamW come close to their best over a wider range of rates than SGD does."""
    widths = {name: width(findings, name) for name in findings["accuracy"]}
    ranges = {name: range_text(findings, name) for name in findings["accuracy"]}
    if len(findings["log10_learning_rates"]) < 5:
        raise NotMeasured("fewer than 5 learning rates; measure without --quick")
    figures = tuple(
        Figure(f"{name}: rates within {CLOSE_TO_BEST:.0%} of its best", ranges[name], "words")
        for name in widths
    )
    bests = tuple(
        Figure(f"{name}: best mean test accuracy", max(means(findings, name)), "accuracy")
        for name in widths
    )
    cases = [
        Case(name, widths[name] > widths[SGD], (each, best))
        for name, each, best in zip(widths, figures, bests, strict=True)
        if name != SGD
    ]
    judged = judge(cases, "its range of good learning rates is wider than SGD's")
    sgd = tuple(f for f in (*figures, *bests) if f.label.startswith(SGD))
    return Judgement(judged.verdict, judged.because, (*judged.figures, *sgd), judged.flips)


def means(findings: Findings, name: str) -> list[float]:
    """Mean accuracy over the seeds at each learning rate."""
    return [mean(seeds) for seeds in findings["accuracy"][name]]


def good(findings: Findings, name: str) -> list[float]:
    """The logarithms of the rates whose accuracy is close to the optimizer's best."""
    found = means(findings, name)
    pairs = zip(findings["log10_learning_rates"], found, strict=True)
    return [x for x, accuracy in pairs if accuracy >= max(found) - CLOSE_TO_BEST]


def width(findings: Findings, name: str) -> float:
    """Powers of ten between the smallest and the largest good rate."""
    return max(good(findings, name)) - min(good(findings, name))


def range_text(findings: Findings, name: str) -> str:
    rates = good(findings, name)
    return f"{10 ** min(rates):.2g} to {10 ** max(rates):.2g}"


def gradients_accumulate(findings: Findings) -> Judgement:
    """A second backward pass doubles the gradient; micro-batches add up to the large batch."""
    first, second = findings["torch_first"], findings["torch_second"]
    error = findings["micro_batches_relative_error"]
    cases = [
        Case(
            "the footgun",
            second == 2 * first,
            (
                Figure("first backward pass", first),
                Figure("second backward pass, nothing zeroed", second),
                Figure("jax.grad called twice", findings["jax_second"]),
            ),
        ),
        Case(
            "the feature",
            error <= ROUNDING,
            (Figure("micro-batches against the large batch, relative difference", error),),
        ),
    ]
    return judge(cases, "gradients accumulate")


def forgetting_to_move_is_an_error(findings: Findings) -> Judgement:
    """Every mix of devices raises an error."""
    cases = [
        Case(
            f"{framework}: {mix}",
            outcome != "runs",
            (Figure(f"{framework}: {mix}", outcome, "words"),),
        )
        for framework in ("torch", "jax")
        for mix, outcome in findings[framework].items()
    ]
    judged = judge(cases, "it is an error")
    silent = [case.condition for case in cases if not case.holds]
    because = (
        judged.because
        if not silent
        else f"No error, PyTorch or JAX moves the operand itself: {'; '.join(silent)}."
    )
    return Judgement(judged.verdict, because, judged.figures)


def softmax_twice_is_worse(findings: Findings) -> Judgement:
    """It beats a constant answer, and its accuracy is lower, after every number of epochs."""
    right, twice = findings["accuracy"]["logits"], findings["accuracy"]["softmax first"]
    cases = [
        softmax_case(
            epochs, [row[i] for row in right], [row[i] for row in twice], findings["chance"]
        )
        for i, epochs in enumerate(findings["epochs"])
    ]
    return judge(cases, "it trains, and worse")


def softmax_case(
    epochs: int, right: Sequence[float], twice: Sequence[float], chance: float
) -> Case:
    lost = mean_interval([a - b for a, b in zip(right, twice, strict=True)])
    worse, trains = above(lost, 0.0), above(mean_interval(twice), chance)
    holds = None if None in (worse, trains) else bool(worse and trains)
    condition = f"after {epochs} epochs"
    return Case(
        condition,
        holds,
        (
            Figure(f"{condition}: mean test accuracy with logits", mean(right), "accuracy"),
            figure(f"{condition}: accuracy lost", lost, "accuracy"),
        ),
    )


def dropout_in_training_only(findings: Findings) -> Judgement:
    """Dropout drops in training and is the identity in evaluation, in both frameworks."""
    cases = [dropout_case(name, findings[name]) for name in ("torch", "flax")]
    return judge(cases, "dropout acts in training and in evaluation it does not")


def dropout_case(name: str, found: Mapping[str, Any]) -> Case:
    holds = found["training drops"] and found["evaluation is the identity"]
    as_built = "drops" if found["as built it drops"] else "does not drop"
    figures = (
        Figure(f"{name}: dropped in training", found["dropped share in training"], "share"),
        Figure(f"{name}: a layer as built, no mode chosen", as_built, "words"),
    )
    return Case(name, holds, figures)


def frameworks_give_same_numbers(findings: Findings) -> Judgement:
    """Equal bit for bit after every number of steps."""
    cases = [
        Case(
            f"after {counted(steps, 'step')}",
            difference == 0.0,
            (
                Figure(
                    f"after {counted(steps, 'step')}: largest difference of a parameter", difference
                ),
            ),
        )
        for steps, difference in zip(findings["steps"], findings["largest_difference"], strict=True)
    ]
    judged = judge(cases, "the parameters are the same numbers")
    scores = tuple(
        Figure(f"{engine}: test accuracy at the end", value, "accuracy")
        for engine, value in findings["accuracy"].items()
    )
    return Judgement(judged.verdict, judged.because, judged.figures + scores, judged.flips)


def same_seed_same_numbers(findings: Findings) -> Judgement:
    """Every random number is the same."""
    equal, numbers = findings["equal_numbers"], findings["numbers"]
    figures = (
        Figure(f"equal numbers, of {numbers:,}", equal),
        Figure(
            "PyTorch draws first", ", ".join(f"{x:.4f}" for x in findings["torch_first"]), "words"
        ),
        Figure("JAX draws first", ", ".join(f"{x:.4f}" for x in findings["jax_first"]), "words"),
    )
    return judge([Case("seed 0", equal == numbers, figures)], "the numbers are the same")


def runs_repeat(findings: Findings) -> Judgement:
    """Two runs of an engine from one seed end in the same bits."""
    cases = [
        Case(
            engine,
            equal,
            (Figure(f"{engine}: equal bit for bit", "yes" if equal else "no", "words"),),
        )
        for engine, equal in findings["equal"].items()
    ]
    return judge(cases, "the second run ends in the same bits")
