"""A trained model in one file: weights, and all that it takes to answer for rows of a table.

A safetensors file as checkpoints are (`twofold.problem.checkpoint`), without optimizer slots. Any
reader of safetensors finds the weights under their canonical names. In the metadata stand the
experiment, what the columns and classes are called and how they were scaled, the engine that
trained it, and the machine; the digest covers them as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twofold.engines.session import Session
from twofold.errors import DataError, SpecError
from twofold.problem import checkpoint
from twofold.problem.description import Description, described_in_json, described_of
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
        "description": json.dumps(described_in_json(problem.description)),
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
        known = described_of(json.loads(about["description"]))
        return Model(experiment, known, about["engine"], state, json.loads(about["environment"]))
    except (KeyError, ValueError, TypeError, RecursionError, SpecError) as error:
        raise DataError(f"{path}: what it says of its model cannot be read: {error}") from error
