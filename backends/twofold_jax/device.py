"""Where JAX computes, in which arithmetic, and what it says about this machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from typing import Any, Final

import jax

from twofold.errors import DeviceUnavailable
from twofold.spec.experiment import Device, Experiment, Precision
from twofold.timing.worker import CPUS_VARIABLE

PREFERENCE: Final[tuple[Device, ...]] = ("cuda", "mps", "cpu")
TRIAL_S: Final = 60.0
LONGEST_WORDS: Final = 300


def available_devices() -> tuple[Device, ...]:
    """The device types that JAX finds here, the fastest kind first; none if JAX_PLATFORMS says so.

    Raises DeviceUnavailable for XLA_FLAGS that would end this process.
    """
    require_flags(os.environ.get("XLA_FLAGS", ""))
    return tuple(name for name in PREFERENCE if _exists(name))


def _exists(name: Device) -> bool:
    try:
        return bool(jax.devices(name))
    # RuntimeError for a platform without a plugin or a device; AssertionError the second time that
    # no platform of JAX_PLATFORMS is there (JAX 0.10, `jax/_src/xla_bridge.py`: `backends`).
    except (RuntimeError, AssertionError):
        return False


@lru_cache
def require_flags(flags: str) -> None:
    """Refuse flags that XLA does not know: it ends the process, and nothing can catch that.

    So they are tried in another process first. A worker of the timing harness is one already, whose
    end is reported, and its cold start is timed. Raises DeviceUnavailable.
    """
    if not flags.strip() or CPUS_VARIABLE in os.environ:
        return
    trial = [sys.executable, "-c", "import jax; jax.local_devices(backend='cpu')"]
    variables = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    try:
        tried = subprocess.run(trial, env=variables, capture_output=True, timeout=TRIAL_S)
    except subprocess.TimeoutExpired as error:
        raise DeviceUnavailable(
            f"XLA_FLAGS: {flags!r} given; JAX does not start with them within {TRIAL_S:g} s; "
            "unset XLA_FLAGS"
        ) from error
    if tried.returncode != 0:
        lines = tried.stderr.decode(errors="replace").strip().splitlines()
        words = lines[-1][:LONGEST_WORDS] if lines else f"exit code {tried.returncode}"
        raise DeviceUnavailable(
            f"XLA_FLAGS: {flags!r} given; XLA ends the process with them: {words}; mend or unset "
            "XLA_FLAGS"
        )


def choose_device(experiment: Experiment) -> jax.Device:
    """The device an experiment asks for; `auto` is cuda, else mps, else cpu.

    Raises DeviceUnavailable for a device that does not exist here or lacks the precision.
    """
    found = available_devices()
    name = experiment.device
    if name == "auto":
        # MPS has no float64: `auto` passes over it.
        wide = experiment.precision == "float64"
        name = next((each for each in found if not (wide and each == "mps")), name)
    if not found:
        raise DeviceUnavailable(
            f"device: {name!r} given; JAX {jax.__version__} finds none of {', '.join(PREFERENCE)} "
            f"here, with JAX_PLATFORMS = {os.environ.get('JAX_PLATFORMS')!r}; set JAX_PLATFORMS "
            "to cpu, or unset it"
        )
    if name not in found:
        raise DeviceUnavailable(
            f"device: {name!r} given; JAX {jax.__version__} finds {', '.join(found)} here; "
            "choose one of them or 'auto'"
        )
    if name == "mps" and experiment.precision == "float64":
        raise DeviceUnavailable("device: 'mps' given with precision float64; mps has float32 only")
    device: jax.Device = jax.local_devices(backend=name)[0]  # of several processes, its own
    return device


@contextmanager
def arithmetic(precision: Precision, device: jax.Device) -> Iterator[None]:
    """float64 exists inside exactly when the precision asks for it; matrix products are exact.

    JAX's own switches, set for this thread while the context lasts (JAX 0.10, `jax.enable_x64`).
    """
    with (
        jax.enable_x64(precision == "float64"),
        jax.default_matmul_precision("highest"),
        jax.threefry_partitionable(True),
        jax.default_device(device),
    ):
        yield


def probe(library: str) -> dict[str, Any]:
    """Versions, devices, threads and precision flags of JAX here, as plain JSON types.

    `library` is the package that builds the models.
    """
    found = available_devices()
    return {
        "versions": {
            **{name: metadata.version(name) for name in ("jax", library, "optax", "numpy")},
            "python": platform.python_version(),
        },
        "devices": [_device_name(name) for name in found],
        "default_device": found[0] if found else "none",
        # XLA sizes its pool on the CPU by the affinity mask, not by OMP_NUM_THREADS.
        "threads": _usable_cores(),
        "enable_x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        "default_matmul_precision": jax.config.jax_default_matmul_precision,  # type: ignore[attr-defined]
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _device_name(name: Device) -> str:
    return name if name == "cpu" else f"{name}: {jax.devices(name)[0].device_kind}"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
