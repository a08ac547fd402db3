"""Pictures of 0 to 255 as a data pipeline gives them, normalized for a model."""

from __future__ import annotations

from typing import Any, Final

import jax.numpy as jnp
import numpy as np
import torch

from comparisons.evidence.ports.plan import Plan

MEAN: Final = np.array([0.485, 0.456, 0.406])
DEVIATION: Final = np.array([0.229, 0.224, 0.225])


def picture_call(plan: Plan, channels: int) -> Any:
    """Normalize a picture by channel, then ask the model; `channels` is their axis."""
    divided, swapped = plan.get("divided_by", 255.0), plan.get("bgr", False)
    turned, mirrored = plan.get("turned", False), plan.get("mirrored", False)
    mean, deviation = plan.get("mean", MEAN), plan.get("deviation", DEVIATION)
    whole, after = plan.get("rounded", False), plan.get("scaled_after", False)

    def call(model: Any, batch: Any) -> Any:
        x = batch["x"]
        shape = [1, 1, 1, 1]
        shape[channels] = 3
        made = x.new_tensor if torch.is_tensor(x) else lambda v: jnp.asarray(v, x.dtype)
        m, s = (made(np.broadcast_to(v, 3).reshape(shape).copy()) for v in (mean, deviation))
        order = [2, 1, 0] if swapped else [0, 1, 2]
        x = x[:, order] if channels == 1 else x[..., np.array(order)]
        height = 2 if channels == 1 else 1
        if turned:
            x = x.swapaxes(height, height + 1)
        if mirrored:
            x = x.flip(height + 1) if torch.is_tensor(x) else jnp.flip(x, height + 1)
        if whole:
            x = x.floor() if torch.is_tensor(x) else jnp.floor(x)
        x = (x - m) / s / divided if after else (x / divided - m) / s
        return model(x)

    return call
