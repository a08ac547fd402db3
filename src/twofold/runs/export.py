"""A trained model as a file for other programs, written only if it still computes the same.

Each format is a backend's own (`twofold.backends.description.ExportFormat`). The file is loaded
again, as another program would load it, and its logits are held to what the oracle allows: the
bound of the ladder's rung `forward`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from twofold.backends.description import Backend, ExportFormat
from twofold.backends.installed import backend_of, backends, load_part
from twofold.engines.registry import require_framework
from twofold.errors import (
    BadInput,
    EngineFailed,
    FrameworkMissing,
    NothingShown,
    ParityDiverges,
    ResultError,
    SpecError,
)
from twofold.files import write_atomically
from twofold.parity.judging.comparison import Comparison, compare
from twofold.parity.ladder.evaluation import rows_to_evaluate
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.network import forward
from twofold.problem.data import prepare
from twofold.problem.state import Array, TrainState
from twofold.runs.answering import problem_of, state_of
from twofold.runs.model_file import Model
from twofold.temporary import temporary_folder

EXTRA: Final = "export"
T = TypeVar("T")


@dataclass(frozen=True)
class Exported:
    """A file that was written: its format, its size, and how near its logits are to the oracle's.

    `worst_ratio` is the largest distance of a logit from the oracle's, divided by its bound. `rows`
    says in words on which rows that was; `vacuous`, that the bounds are so wide that nothing could
    have been outside.
    """

    path: Path
    format: str
    backend: str
    size: int
    rows: str
    worst_ratio: float
    vacuous: bool


def format_names() -> tuple[str, ...]:
    """The formats of all installed backends, each once."""
    return tuple(dict.fromkeys(each.name for owner in backends() for each in owner.exports))


def export(model: Model, target: Path, name: str) -> Exported:
    """Write a model in a format such as those of `format_names`, whole or not at all.

    The model's own backend writes it if it can, else the first that can. The rows that are judged
    are the experiment's own test rows, or training rows where it has none.

    Raises BadInput for a format that does not exist, FrameworkMissing, SpecError for a model that
    it cannot hold, DataError without the data, ParityDiverges for logits outside their bounds,
    NothingShown for logits that cannot be judged, EngineFailed where the framework breaks, and
    ResultError where the file cannot be written. Then nothing is written.
    """
    owner, format_ = _chosen(name, model)
    _require(owner, format_, model)
    state = state_of(model)
    rows, words = rows_to_evaluate(prepare(model.experiment))
    problem = problem_of(model)
    data: bytes = _attempted(name, "written", lambda: load_part(format_.writer)(problem, state))
    with temporary_folder() as folder:
        path = folder / f"model{format_.suffix}"
        write_atomically(path, data)
        logits = _attempted(
            name, "run", lambda: _logits(load_part(format_.reader)(path), rows.inputs)
        )
    judged = _judged(model, state, rows.inputs, logits)
    _require_within(name, judged, words)
    try:
        write_atomically(target, data)
    except OSError as error:
        raise ResultError(f"{target}: cannot be written: {error.strerror or error}") from error
    ratio, vacuous = judged.worst_ratio, judged.vacuous
    return Exported(target, name, owner.title, len(data), words, ratio, vacuous)


def _chosen(name: str, model: Model) -> tuple[Backend, ExportFormat]:
    """The backend that writes a format: the model's own, else the first that is able to."""
    found = [
        (owner, format_)
        for owner in backends()
        for format_ in owner.exports
        if format_.name == name
    ]
    if not found:
        raise BadInput(f"--format: {name!r} given; allowed is {', '.join(format_names())}")

    def rank(each: tuple[Backend, ExportFormat]) -> tuple[bool, bool, bool]:
        owner, _ = each
        refuses = bool(owner.refusals(model.experiment))
        return refuses, owner.name != backend_of(model.engine), bool(owner.missing_frameworks())

    return min(found, key=rank)


def _require(owner: Backend, format_: ExportFormat, model: Model) -> None:
    require_framework(owner)
    missing = format_.missing_modules()
    if missing:
        raise FrameworkMissing(
            f"format {format_.name}: {', '.join(missing)} not installed; "
            f"install with: pip install 'twofold[{EXTRA}]'"
        )
    reasons = owner.refusals(model.experiment)
    if reasons:
        raise SpecError("; ".join(reasons))
    precision = model.experiment.precision
    if precision not in format_.precisions:
        raise SpecError(
            f"precision: {precision!r} given; the format {format_.name} allows "
            f"{', '.join(map(repr, format_.precisions))}; take another format"
        )


def _attempted(name: str, what: str, work: Callable[[], T]) -> T:
    """The outcome of a framework's work, or its error in a sentence."""
    try:
        return work()
    except Exception as error:  # whatever a framework or a runtime raises
        first = next(iter(str(error).strip().splitlines()), "")
        raise EngineFailed(
            f"format {name}: the model could not be {what}: {type(error).__name__}: {first}"
        ) from error


def _logits(function: Callable[[Array], Array], inputs: Array) -> Array:
    """Logits (rows, out_features), in two calls: a file is good for any number of rows."""
    parts = [inputs[:1], inputs[1:]]
    return np.concatenate([function(part) for part in parts if len(part)])


def _judged(model: Model, state: TrainState, inputs: Array, logits: Array) -> Comparison:
    arithmetic = arithmetic_for(model.experiment.precision)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond the range a bound is infinite
        allowed = forward(model.experiment, state, inputs, None, arithmetic)
    return compare({"logits": logits}, {"logits": allowed}, arithmetic)


def _require_within(name: str, judged: Comparison, rows: str) -> None:
    if judged.unusable is not None:
        raise NothingShown(
            f"format {name}: nothing written, for the logits of {rows} cannot be judged: "
            f"{judged.unusable}"
        )
    if judged.within:
        return
    worst = judged.worst
    where = ""
    if worst is not None:
        place = ", ".join(map(str, worst.index))
        where = (
            f"; worst at logits[{place}]: computed {worst.computed!r}, oracle {worst.oracle!r}, "
            f"bound {worst.bound:.3g}, {judged.worst_ratio:.3g} times as far as allowed"
        )
    raise ParityDiverges(
        f"format {name}: nothing written, for on {rows} the file does not compute what the oracle "
        f"says: {judged.note}{where}"
    )
