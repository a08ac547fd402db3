"""What each device keeps of a state that lies in parts, in one process with several devices."""

from __future__ import annotations

import json
import subprocess
import sys

DEVICES = 4
PROGRAM = f"""
import json
import jax
import numpy as np
jax.config.update("jax_num_cpu_devices", {DEVICES})
from twofold import Experiment, open_session, prepare

experiment = Experiment.load("diabetes").with_values(model__hidden=(8, 6))
told = {{}}
for engine in ("flax:sharded", "flax:sharded-weights", "flax:jit"):
    session = open_session(prepare(experiment), engine)
    losses = session.run(20)
    state = session._executor._state
    parameters = session.state().parameters.values()
    told[engine] = {{
        "shapes": [
            [*leaf.shape, *leaf.addressable_data(0).shape]
            for leaf in jax.tree.leaves(state.params)
        ],
        "devices": max(len(leaf.devices()) for leaf in jax.tree.leaves(state)),
        "losses": losses.tolist(),
        "norm": float(np.sqrt(sum((each**2).sum() for each in parameters))),
    }}
print(json.dumps(told))
"""


def test_each_device_keeps_its_part() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    parts, copies, alone = (told[f"flax:{name}"] for name in ("sharded-weights", "sharded", "jit"))
    # Kernels are (in, out) in Flax: (10, 8), (8, 6), (6, 1). Ten and six do not divide by four.
    whole = sorted([[8], [10, 8], [6], [8, 6], [1], [6, 1]])
    assert sorted(shape[: len(shape) // 2] for shape in parts["shapes"]) == whole
    kept = sorted([[2], [10, 2], [6], [2, 6], [1], [6, 1]])
    assert sorted(shape[len(shape) // 2 :] for shape in parts["shapes"]) == kept
    assert sorted(shape[len(shape) // 2 :] for shape in copies["shapes"]) == whole
    assert parts["devices"] == copies["devices"] == DEVICES
    # Sums are taken in another order: a few roundings of float32 in twenty steps.
    assert max(abs(a / b - 1) for a, b in zip(parts["losses"], alone["losses"], strict=True)) < 1e-4
    assert abs(parts["norm"] / alone["norm"] - 1) < 1e-5
