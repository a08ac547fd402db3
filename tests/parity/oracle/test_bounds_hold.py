"""Plain evaluations in shuffled summation orders stay within the oracle's bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged import ACTIVATIONS, LOSSES, batch_of, experiment_of, judge, masks_of, state_of
from plain import ORDERS, STYLES, Plain

from twofold.spec.experiment import Adam, AdamW, Sgd

betas = st.sampled_from([0.0, 0.3, 0.45, 0.5, 0.7, 0.9, 0.99, 0.999])
rates = st.sampled_from([1e-5, 1e-3, 3e-2, 1.0, 30.0])
decays = st.sampled_from([0.0, 1e-4, 1e-2, 0.7])
epsilons = st.sampled_from([1e-12, 1e-8, 1e-4, 1.0])
adams = st.builds(
    lambda kind, rate, decay, b1, b2, eps: kind(
        learning_rate=rate, weight_decay=decay, betas=(b1, b2), eps=eps
    ),
    st.sampled_from([Adam, AdamW]),
    rates,
    decays,
    betas,
    betas,
    epsilons,
)
sgds = st.builds(
    lambda rate, momentum, nesterov, decay: Sgd(
        learning_rate=rate,
        momentum=momentum,
        nesterov=nesterov and momentum > 0,
        weight_decay=decay,
    ),
    rates,
    st.sampled_from([0.0, 0.1, 0.9, 0.99]),
    st.booleans(),
    decays,
)


@st.composite
def settings_of_a_step(draw: st.DrawFn) -> dict[str, Any]:
    depth = draw(st.integers(0, 4))
    sizes = tuple(draw(st.integers(1, 64)) for _ in range(depth + 2))
    experiment = experiment_of(
        sizes,
        draw(st.sampled_from(ACTIVATIONS)),
        draw(st.sampled_from(LOSSES)),
        draw(st.one_of(adams, sgds)),
        dropout=draw(st.sampled_from([0.0, 0.0, 0.1, 0.5, 0.99])),
        bias=draw(st.booleans()),
    )
    return {
        "experiment": experiment,
        "rows": draw(st.integers(1, 32)),
        "seed": draw(st.integers(0, 2**20)),
        "scale": draw(st.sampled_from([1e-4, 1e-2, 1.0, 30.0, 1e3])),
        "gain": draw(st.sampled_from([0.1, 1.0, 3.0, 30.0])),  # 30: extreme logits
        "warm": draw(st.booleans()),
        "constant_feature": draw(st.sampled_from([None, 0.0, 1.0, 100.0])),
        "order": draw(st.sampled_from(ORDERS)),
        "style": draw(st.sampled_from(STYLES)),
        "flush": draw(st.booleans()),
    }


WORST: dict[tuple[str, str], float] = {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_plain_evaluations_stay_inside(dtype: type) -> None:
    @settings(
        max_examples=200,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(settings_of_a_step())
    def check(drawn: dict[str, Any]) -> None:
        experiment, seed, rows = drawn["experiment"], drawn["seed"], drawn["rows"]
        state = state_of(experiment, seed, dtype, warm=drawn["warm"], gain=drawn["gain"])
        batch = batch_of(experiment, seed, dtype, rows, drawn["scale"])
        if drawn["constant_feature"] is not None:
            batch.inputs[:, 0] = drawn["constant_feature"]
        plain = Plain(dtype, drawn["order"], drawn["style"], seed, drawn["flush"])
        worst = judge(plain, experiment, state, batch, masks_of(experiment, seed, rows))
        for rung, value in worst.items():
            key = (dtype.__name__, rung)
            WORST[key] = max(WORST.get(key, 0.0), value)
        assert max(worst.values()) <= 1, worst

    check()
    print({key: round(value, 3) for key, value in WORST.items()})
