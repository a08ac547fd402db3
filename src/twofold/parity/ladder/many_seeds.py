"""Many seeds in one step, certified: each seed's step must follow from its own state before it.

No rung of the ladder sees the code that trains seeds together (`twofold.engines.seeds`). So it is
opened once more, its first steps are taken one by one, and every seed's loss, slots and parameters
after each are judged by the oracle, as in step-locked training. With seeds that differ, what a step
takes from another seed (its batch, masks or gradients) shows as a wrong step of its own.

Masks that a framework draws for itself cannot be read. An experiment that has them is judged with
shared masks and shared initial values; everything else of the step is the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from twofold.backends import installed
from twofold.engines.seeds import SeedsTogether, open_seeds, with_seeds
from twofold.errors import ParityDiverges
from twofold.parity.ladder.steplocked import JudgedStep, Standard, TakenStep, judge_step
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.problem.problem import Problem
from twofold.spec.model import dropouts

CERTIFIED_STEPS: Final = 3
"""Enough for slots that are not zero and, with a warm-up, a learning rate that is not."""


@dataclass(frozen=True)
class TogetherCertificate:
    """What was judged: `judged` steps of `steps` of each of `seeds` seeds, with their elements.

    `worst_ratio` is the largest |computed - oracle| / bound. Steps that are not among the judged
    have left the range of the precision, where no bound holds. `explained` steps needed the model
    of a known difference. `shared_masks` tells that shared masks stood for the framework's own.
    `silence` says why nothing could have failed, where that is so.
    """

    seeds: int
    steps: int
    judged: int
    elements: int
    worst_ratio: float
    explained: int
    shared_masks: bool
    silence: str = ""

    @property
    def words(self) -> str:
        """The certificate as a sentence."""
        asked = self.seeds * self.steps
        if self.judged == 0:
            return "not certified: every step leaves the range of the precision"
        if self.silence:
            return f"not certified, for nothing could have failed: {self.silence}"
        steps = "step" if self.steps == 1 else f"{self.steps} steps"
        said = f"first {steps} of {self.seeds} seeds certified"
        if self.judged < asked:
            said += f" where they stay in range ({self.judged} of {asked})"
        said += f": {self.elements:,} elements, worst ratio {self.worst_ratio:.3g}"
        if self.explained:
            said += f"; {self.explained} steps explained by a known difference"
        return f"{said}; with shared masks" if self.shared_masks else said


def certify_together(
    problem: Problem, seeds: Sequence[int], backend: str, *, steps: int = CERTIFIED_STEPS
) -> TogetherCertificate:
    """Take the first steps of some seeds together in a backend and judge each seed's.

    No more than `problem.total_steps` are taken. Raises ParityDiverges, with the seed, the step and
    the worst element, at the first step outside its bounds; and what `open_seeds` raises.
    """
    judged_problem = _with_masks_that_can_be_read(problem)
    taken_steps = min(steps, problem.total_steps)
    judged = judge_together(
        open_seeds(judged_problem, seeds, backend),
        standards_of(judged_problem, seeds, backend),
        taken_steps,
    )
    usable = [step for step in judged if step.comparison.unusable is None]
    silences = {step.comparison.silence: None for step in usable if step.explanation is None}
    return TogetherCertificate(
        seeds=len(seeds),
        steps=taken_steps,
        judged=len(usable),
        elements=sum(step.comparison.elements for step in usable),
        worst_ratio=max((step.comparison.worst_ratio for step in usable), default=0.0),
        explained=sum(step.explanation is not None for step in usable),
        shared_masks=judged_problem is not problem,
        silence="; ".join(silences) if all(step.comparison.vacuous for step in usable) else "",
    )


def standards_of(problem: Problem, seeds: Sequence[int], backend: str) -> list[Standard]:
    """What each seed's steps are judged by."""
    arithmetic = arithmetic_for(problem.experiment.precision)
    known = installed.backend(backend).known_differences
    return [Standard(each, arithmetic, known) for each in with_seeds(problem, seeds)]


def judge_together(
    together: SeedsTogether, standards: Sequence[Standard], steps: int
) -> list[JudgedStep]:
    """The next `steps` steps of every seed, each judged from the seed's own state before it.

    Raises ParityDiverges at the first that is not within its bounds.
    """
    numbers = range(len(standards))
    before = [together.state(number) for number in numbers]
    judged: list[JudgedStep] = []
    for _ in range(steps):
        losses = together.run(1)[0]  # (seeds,)
        after = [together.state(number) for number in numbers]
        for number, standard in enumerate(standards):
            taken = TakenStep(before[number], float(losses[number]), after[number])
            judged.append(judge_step(standard, taken))
            _require_within(judged[-1], standard.problem.experiment.seed)
        before = after
    return judged


def _require_within(step: JudgedStep, seed: int) -> None:
    comparison = step.comparison
    if comparison.within or comparison.unusable is not None:
        return
    said = f"seed {seed}, step {step.taken.before.step + 1} of all seeds together"
    worst = comparison.worst
    if worst is not None:
        said += (
            f": {worst.tensor}{list(worst.index)} is {worst.computed:.9g}, {worst.oracle:.9g} "
            f"by the oracle, bound {worst.bound:.3g}"
        )
    raise ParityDiverges(f"{said}; {comparison.note}; train the seeds one by one")


def _with_masks_that_can_be_read(problem: Problem) -> Problem:
    """The problem itself, or with shared draws where it would have the framework's own masks."""
    if problem.experiment.rng == "shared" or not dropouts(problem.experiment.model):
        return problem
    shared = problem.experiment.model_copy(update={"rng": "shared"})
    return replace(problem, experiment=shared)
