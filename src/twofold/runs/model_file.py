"""A trained model in one file: weights, and all that it takes to answer for rows of a table.

A safetensors file as checkpoints are (`twofold.problem.checkpoint`), without optimizer slots. Any
reader of safetensors finds the weights under their canonical names. In the metadata stand the
experiment, what the columns and classes are called and how they were scaled, the engine that
trained it, and the machine; the digest covers them as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from twofold.engines.session import Session
from twofold.errors import DataError, SpecError
from twofold.problem import checkpoint
from twofold.problem.description import Categories, Description, Filled, Scaling
from twofold.problem.state import TrainState
from twofold.results import environment
from twofold.results.json_files import to_plain
from twofold.spec.experiment import Experiment

KIND: Final = "twofold.model/1"


@dataclass(frozen=True)
class Model:
    """A trained model: `state` without slots, of an experiment whose feature counts are known."""

    experiment: Experiment
    description: Description
    engine: str
    state: TrainState
    environment: Mapping[str, Any]


def save(session: Session, path: Path) -> Path:
    """Write what a session has trained. Raises DataError."""
    problem, state = session.problem, session.state()
    about = {
        "kind": KIND,
        "experiment": problem.experiment.model_dump_json(),
        "description": json.dumps(described(problem.description)),
        "engine": session.engine,
        "environment": json.dumps(to_plain(environment.describe())),
    }
    weights = TrainState(state.parameters, {}, state.step, state.buffers)
    return checkpoint.save(weights, path, about)


def load(path: Path) -> Model:
    """Read what `save` wrote. Raises DataError for all else."""
    state, about = checkpoint.load_with_about(path)
    if about.get("kind") != KIND:
        raise DataError(
            f"{path}: no model in it; allowed is a file that twofold train wrote, "
            "model.safetensors in its folder"
        )
    try:
        experiment = Experiment.model_validate_json(about["experiment"])
        known = _description(json.loads(about["description"]))
        return Model(experiment, known, about["engine"], state, json.loads(about["environment"]))
    except (KeyError, ValueError, TypeError, RecursionError, SpecError) as error:
        raise DataError(f"{path}: what it says of its model cannot be read: {error}") from error


def described(known: Description) -> dict[str, Any]:
    """A description in JSON's own types; numbers keep every bit."""
    plain: dict[str, Any] = asdict(known)
    for name in ("input_scaling", "target_scaling"):
        scaling = plain[name]
        if scaling is not None:
            plain[name] = {key: array.tolist() for key, array in scaling.items()}
    return plain


def _description(given: Mapping[str, Any]) -> Description:
    return Description(
        inputs=tuple(given["inputs"]),
        targets=tuple(given["targets"]),
        classes=tuple(given["classes"]),
        input_scaling=_scaling(given["input_scaling"]),
        target_scaling=_scaling(given["target_scaling"]),
        dropped_rows=given["dropped_rows"],
        filled=tuple(Filled(**each) for each in given["filled"]),
        one_hot=_categories(given["one_hot"]),
        embedded=_categories(given["embedded"]),
        telling=tuple(given["telling"]),
    )


def _categories(given: Sequence[Mapping[str, Any]]) -> tuple[Categories, ...]:
    return tuple(
        Categories(
            each["column"],
            tuple(each["categories"]),
            tuple((text, rows) for text, rows in each["unseen"]),
        )
        for each in given
    )


def _scaling(given: Mapping[str, Any] | None) -> Scaling | None:
    if given is None:
        return None
    mean, scale = (np.array(given[name], np.float64) for name in ("mean", "scale"))
    return Scaling(mean, scale, np.array(given["constant"], np.bool_))
