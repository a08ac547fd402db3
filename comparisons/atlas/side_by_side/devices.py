"""Devices: choosing one, mixing two, asking for one that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jax
import torch
from twofold import Experiment, open_session, prepare
from twofold.errors import DeviceUnavailable

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

# A machine with one processor has no second device to make mistakes with. PyTorch's `meta` device
# (shapes without numbers) and XLA's pretended CPUs stand in; the rules are those of real ones.
TWO_CPUS = {
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    "JAX_PLATFORMS": "cpu",
}
ABSENT = "cuda" if sys.platform == "darwin" else "mps"
ELSEWHERE = Experiment.load("lesson").with_values(device=ABSENT)


def with_pytorch() -> Values:
    if torch.cuda.is_available():
        chosen = "cuda"
    elif torch.backends.mps.is_available():
        chosen = "mps"
    else:
        chosen = "cpu"
    x = torch.ones(2).to(chosen)
    here, there = torch.ones(2), torch.ones(2, device="meta")
    try:
        mixed = f"moved to {(here + there).device}"
    except RuntimeError as error:
        mixed = type(error).__name__
    try:
        torch.ones(2, device=ABSENT)
        absent = "made"
    except (RuntimeError, AssertionError):
        absent = "refused"
    try:
        open_session(prepare(ELSEWHERE), "torch:eager")
        twofold = "opened"
    except DeviceUnavailable as error:
        twofold = type(error).__name__
    return {
        "it is where it was put": x.device.type == chosen,
        "two devices, both given": mixed,
        "two devices, one given": mixed,
        "a device that is absent": absent,
        "the same, asked of Twofold": twofold,
    }


def with_jax() -> Values:
    chosen = jax.devices()[0]  # the best one comes first
    x = jax.device_put(jax.numpy.ones(2), chosen)
    script = subprocess.run(
        [sys.executable, "-c", MIX],
        env=os.environ | TWO_CPUS,
        capture_output=True,
        text=True,
        check=True,
    )
    mixed = json.loads(script.stdout)
    try:
        jax.devices(ABSENT)
        absent = "made"
    except RuntimeError:
        absent = "refused"
    try:
        open_session(prepare(ELSEWHERE), "flax:jit")
        twofold = "opened"
    except DeviceUnavailable as error:
        twofold = type(error).__name__
    return {
        "it is where it was put": x.device == chosen,
        "two devices, both given": mixed["both"],
        "two devices, one given": mixed["one"],
        "a device that is absent": absent,
        "the same, asked of Twofold": twofold,
    }


MIX = """
import json
import jax
first, second = jax.devices()
here = jax.device_put(jax.numpy.ones(2), first)
there = jax.device_put(jax.numpy.ones(2), second)
free = jax.numpy.ones(2)  # on the first device, committed to none
try:
    both = f"moved to {(here + there).device}"
except ValueError as error:
    both = type(error).__name__
print(json.dumps({"both": both, "one": f"moved to {(free + there).device}"}))
"""

TOPIC = Topic(
    title="Devices",
    about="""PyTorch starts on the CPU and goes where it is told with `.to(device)`; operands must
    share a device, and one that does not is an error, never a wrong result. JAX starts on the
    best device it finds. An array that was put on a device with `device_put` is committed to it,
    and two committed to different devices are an error too; an array that was never put anywhere
    is moved without a word. Twofold's `device = "auto"` is the first rule (cuda, else mps, else
    cpu) in both backends, and a device that is absent is one clear error, `DeviceUnavailable`.""",
    pytorch=with_pytorch,
    jax=with_jax,
    different={
        "two devices, both given": Different(
            "both refuse",
            pytorch="RuntimeError",
            jax="ValueError",
        ),
        "two devices, one given": Different(
            "JAX moves an array that was not put anywhere",
            pytorch="RuntimeError",
            jax="moved to cpu:1",
        ),
    },
)

if __name__ == "__main__":
    show(TOPIC)
