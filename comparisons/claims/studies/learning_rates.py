"""Three optimizers over learning rates that span four powers of ten."""

from __future__ import annotations

import math
from typing import Any, Final

from comparisons.claims.claim import Findings
from twofold import Experiment, open_session, prepare
from twofold.engines.training import train

OPTIMIZERS: Final[dict[str, dict[str, Any]]] = {
    "sgd with momentum": {"kind": "sgd", "momentum": 0.9},
    "adam": {"kind": "adam"},
    "adamw": {"kind": "adamw", "weight_decay": 1e-2},
}
EXPONENTS: Final = (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0)
EPOCHS: Final = 10


def sweep(quick: bool) -> Findings:
    """Test accuracy on the digits for every optimizer, learning rate and seed."""
    seeds = range(1 if quick else 3)
    exponents = EXPONENTS[::4] if quick else EXPONENTS
    return {
        "conditions": f"digits, 64-64-64-10 with dropout 0.1, torch:eager, {EPOCHS} epochs, "
        f"{len(seeds)} seeds; learning rates 10^-4 to 1 in {len(exponents)} steps",
        "log10_learning_rates": list(exponents),
        "accuracy": {
            name: [[accuracy(each, x, seed) for seed in seeds] for x in exponents]
            for name, each in OPTIMIZERS.items()
        },
    }


def accuracy(optimizer: dict[str, Any], exponent: float, seed: int) -> float:
    """Test accuracy; that of a constant answer where training diverged."""
    experiment = Experiment.load("digits").with_values(
        seed=seed,
        optimizer={**optimizer, "learning_rate": math.pow(10.0, exponent)},
        training__epochs=EPOCHS,
    )
    score = train(open_session(prepare(experiment), "torch:eager")).score
    return 0.0 if score is None else score.value
