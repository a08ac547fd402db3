"""Where JAX computes, in which arithmetic, and what it says about this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any, Final

import jax

from twofold.errors import DeviceUnavailable
from twofold.spec.experiment import Device, Experiment, Precision

PREFERENCE: Final[tuple[Device, ...]] = ("cuda", "mps", "cpu")


def available_devices() -> tuple[Device, ...]:
    """The device types that JAX finds here, the fastest kind first."""
    return tuple(name for name in PREFERENCE if _exists(name))


def _exists(name: Device) -> bool:
    try:
        return bool(jax.devices(name))
    except RuntimeError:  # what JAX raises for a platform without a plugin or a device
        return False


def choose_device(experiment: Experiment) -> jax.Device:
    """The device an experiment asks for; `auto` is cuda, else mps, else cpu.

    Raises DeviceUnavailable for a device that does not exist here or lacks the precision.
    """
    found = available_devices()
    name = experiment.device
    if name == "auto":
        # MPS has no float64: `auto` passes over it.
        wide = experiment.precision == "float64"
        name = next(each for each in found if not (wide and each == "mps"))
    if name not in found:
        raise DeviceUnavailable(
            f"device: {name!r} given; JAX {jax.__version__} finds {', '.join(found)} here; "
            "choose one of them or 'auto'"
        )
    if name == "mps" and experiment.precision == "float64":
        raise DeviceUnavailable("device: 'mps' given with precision float64; mps has float32 only")
    device: jax.Device = jax.devices(name)[0]
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
    return {
        "versions": {
            **{name: metadata.version(name) for name in ("jax", library, "optax", "numpy")},
            "python": platform.python_version(),
        },
        "devices": [_device_name(name) for name in available_devices()],
        "default_device": available_devices()[0],
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
