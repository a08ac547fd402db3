"""Where calibrations are kept: a file for each device in the user's cache folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from twofold.backends.installed import packages
from twofold.cache import cache_folder
from twofold.errors import ResultError
from twofold.results.json_files import write_json
from twofold.results.stored import (
    Count,
    Environment,
    Name,
    Part,
    Positive,
    Seconds,
    Share,
    Stored,
    Text,
    read_result,
)
from twofold.spec.experiment import Device
from twofold.studies.advice.calibrate import SCHEMA, Calibration
from twofold.studies.advice.fit import ENOUGH

MUST_AGREE = ("processor", "threads")


class StoredWorkload(Stored):
    """The shapes of a training step."""

    sizes: Annotated[list[Positive], Field(min_length=2)]
    rows: Positive
    slots: Count
    itemsize: Positive
    dropout: bool


class StoredPoint(Stored):
    """One engine measured on one workload."""

    engine: Name
    workload: StoredWorkload
    first: bool
    import_s: Part
    open_s: Part
    first_step_s: Part
    compilations: Count
    step_s: Seconds


class StoredCalibration(Stored):
    """`twofold.calibration/1`; what is made from the points is not read."""

    environment: Environment
    device: Device = "auto"
    seconds: Part = 0.0
    points: list[StoredPoint]
    failures: dict[Text, Text] = Field(default_factory=dict)
    other_cores: Share | None = None


def default_path(device: Device) -> Path:
    """The file of a device's calibration, such as ~/.cache/twofold/calibration-auto.json."""
    return cache_folder() / f"calibration-{device}.json"


def save(calibration: Calibration, path: Path) -> Path:
    """Write a calibration, whole or not at all. Raises ResultError."""
    return write_json(path, calibration.to_json(), non_finite="refuse")


def load(path: Path) -> Calibration:
    """Read a calibration. Raises ResultError, which says how to make one if there is none."""
    if not path.is_file():
        raise ResultError(f"{path}: no calibration there; make one with: twofold calibrate")
    given = read_result(path, SCHEMA, StoredCalibration)
    try:
        return Calibration.from_json(given)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path}: not a whole calibration ({error}); calibrate again") from error


def doubts(calibration: Calibration, here: dict[str, Any]) -> list[str]:
    """In what this machine or its software is not what was calibrated, in plain words."""
    there = calibration.environment
    found = [
        f"calibrated with {name} {there.get(name)}, here it is {here.get(name)}"
        for name in MUST_AGREE
        if there.get(name) != here.get(name)
    ]
    then, now = there.get("versions") or {}, here.get("versions") or {}
    found += [
        f"calibrated with {name} {then.get(name)}, here it is {now.get(name)}"
        for name in packages()
        if then.get(name) not in (None, now.get(name))
    ]
    measured = len(calibration.workloads)
    if calibration.points and measured < ENOUGH:
        found.append(
            f"calibrated on {measured} workloads only; predictions get much better from {ENOUGH} "
            "on: calibrate fewer engines, or for more seconds"
        )
    if calibration.other_cores is not None and calibration.other_cores > 0.2:
        found.append(
            f"other programs kept {calibration.other_cores:.1f} processors busy while it was made"
        )
    return found
