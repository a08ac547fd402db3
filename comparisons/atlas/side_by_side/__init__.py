"""The same idea in PyTorch, in JAX/Flax and, where it exists, in NumPy: one short file a topic.

python -m comparisons.side_by_side                  every topic
python -m comparisons.atlas.side_by_side.autograd         one topic: both columns and their values
python -m comparisons.side_by_side --page FILE      all of it as a Markdown page
"""

from __future__ import annotations

import importlib
from typing import Final

from comparisons.atlas.side_by_side.topic import Topic

NAMES: Final = (
    "tensors",
    "dtypes",
    "devices",
    "autograd",
    "gradient_accumulation",
    "modules",
    "sequential",
    "losses",
    "optimizers",
    "data_feeding",
    "compilation",
    "randomness",
    "state_and_checkpoints",
    "control_flow",
    "debugging_by_print",
)


def load(name: str) -> Topic:
    """The topic of that name; its frameworks are imported only now."""
    topic: Topic = importlib.import_module(
        f"comparisons.atlas.side_by_side.{name}"
    ).TOPIC
    return topic
