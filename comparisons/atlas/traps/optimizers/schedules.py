"""Learning rates over time: ends, floors, warm-up, and who counts what."""

from __future__ import annotations

import jax.numpy as jnp
import optax
import torch
from jax import Array
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from comparisons.atlas.traps.trap import Trap, Warns

SCHEDULES = "https://optax.readthedocs.io/en/latest/api/optimizer_schedules.html"
ADJUST = "https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
FLOAT32 = "Optax evaluates schedules in float32"


def some_optimizer(learning_rate: float = 1.0) -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(()))], lr=learning_rate, momentum=0.9)


def rates_pytorch(scheduler: LRScheduler, steps: int) -> list[float]:
    """The learning rate of each step."""
    rates = []
    for step in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates


def rates_optax(schedule: optax.Schedule, steps: int) -> list[float]:
    return [float(schedule(count)) for count in range(steps)]


def cosine_end_pytorch() -> list[float]:
    return rates_pytorch(CosineAnnealingLR(some_optimizer(), T_max=2), steps=5)


def cosine_end_jax() -> list[float]:
    return rates_optax(optax.cosine_decay_schedule(1.0, decay_steps=2), steps=5)


def cosine_end_pytorch_fixed() -> list[float]:
    scheduler = CosineAnnealingLR(some_optimizer(), T_max=2)
    return [*rates_pytorch(scheduler, steps=3), 0.0, 0.0]  # step it no further


COSINE_PAST_THE_END = Trap(
    id="cosine-past-the-end",
    statement="After its last step CosineAnnealingLR climbs up again; cosine_decay_schedule stays "
    "at its floor.",
    severity="silent wrong result",
    symptoms="loss rises late in training, learning rate increases again, T_max too small",
    pytorch=cosine_end_pytorch,
    pytorch_gives=[1.0, 0.5, 0.0, 0.5, 1.0],
    jax=cosine_end_jax,
    jax_gives=[1.0, 0.5, 0.0, 0.0, 0.0],
    fix="Stop stepping the scheduler after T_max.",
    pytorch_fixed=cosine_end_pytorch_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason=FLOAT32,
    source="https://docs.pytorch.org/docs/stable/generated/"
    "torch.optim.lr_scheduler.CosineAnnealingLR.html",
)


def floor_pytorch() -> float:
    scheduler = CosineAnnealingLR(some_optimizer(0.5), T_max=2, eta_min=0.1)
    return rates_pytorch(scheduler, steps=3)[-1]


def floor_jax() -> float:
    return rates_optax(optax.cosine_decay_schedule(0.5, decay_steps=2, alpha=0.1), steps=3)[-1]


def floor_jax_fixed() -> float:
    schedule = optax.cosine_decay_schedule(0.5, decay_steps=2, alpha=0.1 / 0.5)
    return rates_optax(schedule, steps=3)[-1]


COSINE_FLOOR = Trap(
    id="cosine-floor",
    statement="The floor of a cosine schedule is a learning rate in PyTorch (eta_min) and a "
    "FRACTION of the first one in Optax (alpha).",
    severity="silent wrong result",
    symptoms="final learning rate too small, eta_min alpha, fine-tuning end",
    pytorch=floor_pytorch,
    pytorch_gives=0.1,
    jax=floor_jax,
    jax_gives=0.05,
    fix="alpha = eta_min / learning_rate.",
    jax_fixed=floor_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason=FLOAT32,
    source=SCHEDULES,
)


def staircase_pytorch() -> list[float]:
    return rates_pytorch(StepLR(some_optimizer(), step_size=2, gamma=0.25), steps=4)


def staircase_jax() -> list[float]:
    return rates_optax(optax.exponential_decay(1.0, transition_steps=2, decay_rate=0.25), steps=4)


def staircase_jax_fixed() -> list[float]:
    schedule = optax.exponential_decay(1.0, transition_steps=2, decay_rate=0.25, staircase=True)
    return rates_optax(schedule, steps=4)


STEP_DECAY_STAIRCASE = Trap(
    id="step-decay-staircase",
    statement="StepLR drops once every step_size steps; exponential_decay with the same numbers "
    "falls smoothly in between.",
    severity="silent wrong result",
    symptoms="learning rate decays too early, StepLR port, exponential decay smooth",
    pytorch=staircase_pytorch,
    pytorch_gives=[1.0, 1.0, 0.25, 0.25],
    jax=staircase_jax,
    jax_gives=[1.0, 0.5, 0.25, 0.125],
    fix="staircase=True.",
    jax_fixed=staircase_jax_fixed,
    source=SCHEDULES,
)


def epochs_pytorch() -> list[float]:
    scheduler, rates = ExponentialLR(some_optimizer(), gamma=0.5), []
    for _epoch in range(2):
        for _batch in range(3):
            rates += scheduler.get_last_lr()
            scheduler.optimizer.step()
        scheduler.step()
    return rates


def epochs_jax() -> list[float]:
    return rates_optax(optax.exponential_decay(1.0, transition_steps=1, decay_rate=0.5), steps=6)


def epochs_jax_fixed() -> list[float]:
    batches = 3
    schedule = optax.exponential_decay(1.0, batches, decay_rate=0.5, staircase=True)
    return rates_optax(schedule, steps=6)


SCHEDULE_COUNTS_UPDATES = Trap(
    id="schedule-counts-updates",
    statement="A PyTorch scheduler counts its own step() calls, once an epoch in most programs; an "
    "Optax schedule counts UPDATES.",
    severity="silent wrong result",
    symptoms="learning rate vanishes within an epoch, loss stops falling, epochs or steps",
    pytorch=epochs_pytorch,
    pytorch_gives=[1.0, 1.0, 1.0, 0.5, 0.5, 0.5],
    jax=epochs_jax,
    jax_gives=[1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125],
    fix="Multiply the schedule's lengths by the batches of an epoch.",
    jax_fixed=epochs_jax_fixed,
    source=f"{ADJUST}; {SCHEDULES}",
)


def decay_steps_pytorch() -> float:
    after_warmup = CosineAnnealingLR(some_optimizer(), T_max=6)
    return rates_pytorch(after_warmup, steps=4)[3]


def decay_steps_jax() -> float:
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=2, decay_steps=6)
    return rates_optax(schedule, steps=6)[2 + 3]


def decay_steps_jax_fixed() -> float:
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=2, decay_steps=2 + 6)
    return rates_optax(schedule, steps=6)[2 + 3]


WARMUP_DECAY_STEPS = Trap(
    id="warmup-decay-steps",
    statement="decay_steps of warmup_cosine_decay_schedule INCLUDES the warm-up; the T_max of the "
    "cosine that follows a warm-up in PyTorch does not.",
    severity="silent wrong result",
    symptoms="learning rate reaches zero early, warmup cosine schedule shorter, SequentialLR",
    pytorch=decay_steps_pytorch,
    pytorch_gives=0.5,  # three of six steps
    jax=decay_steps_jax,
    jax_gives=0.5 * (1.0 - 0.5**0.5),  # three of four
    fix="decay_steps = warmup_steps + T_max.",
    jax_fixed=decay_steps_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason=FLOAT32,
    source=SCHEDULES,
)


def warmup_pytorch() -> list[float]:
    scheduler = LinearLR(some_optimizer(), start_factor=0.25, total_iters=3)
    return rates_pytorch(scheduler, steps=5)


def warmup_jax() -> list[float]:
    return rates_optax(optax.linear_schedule(0.0, 1.0, transition_steps=4), steps=5)


def warmup_jax_fixed() -> list[float]:
    return rates_optax(optax.linear_schedule(0.25, 1.0, transition_steps=3), steps=5)


WARMUP_FIRST_STEP = Trap(
    id="warmup-first-step",
    statement="Optax's warm-up starts at 0, so the first update does nothing; PyTorch's LinearLR "
    "refuses a start of 0, and begins with a part of the rate.",
    severity="silent wrong result",
    symptoms="first step changes no parameter, warmup off by one",
    pytorch=warmup_pytorch,
    pytorch_gives=[0.25, 0.5, 0.75, 1.0, 1.0],
    jax=warmup_jax,
    jax_gives=[0.0, 0.25, 0.5, 0.75, 1.0],
    fix="Start the linear schedule at peak / steps, and make it one step shorter.",
    jax_fixed=warmup_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason=FLOAT32,
    source=SCHEDULES,
)


def onecycle_pytorch() -> list[float]:
    return rates_pytorch(OneCycleLR(some_optimizer(), max_lr=1.0, total_steps=10), steps=4)


def onecycle_jax() -> list[float]:
    return rates_optax(optax.cosine_onecycle_schedule(10, peak_value=1.0), steps=4)


def onecycle_jax_fixed() -> list[float]:
    rises, falls = int(0.3 * 10) - 1, 10 - 1
    schedule = optax.piecewise_interpolate_schedule(
        "cosine", 1.0 / 25.0, {rises: 25.0, falls: 1.0 / (25.0 * 1e4)}
    )
    return rates_optax(schedule, steps=4)


ONECYCLE_PEAK = Trap(
    id="onecycle-peak",
    statement="OneCycleLR peaks at step pct_start * total - 1 and ends with its last step; "
    "cosine_onecycle_schedule peaks one step later and ends one step after the last.",
    severity="silent wrong result",
    symptoms="one cycle schedule off by one, super-convergence, peak learning rate",
    pytorch=onecycle_pytorch,
    # cosines from 0.04 to 1 in 2 steps, then down to 4e-6 in 7
    pytorch_gives=[0.04, 0.52, 1.0, 0.9504846],
    jax=onecycle_jax,
    jax_gives=[0.04, 0.28, 0.76, 1.0],  # in 3 steps
    fix="Join two cosines at PyTorch's steps.",
    jax_fixed=onecycle_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason=FLOAT32,
    source="https://docs.pytorch.org/docs/stable/generated/"
    "torch.optim.lr_scheduler.OneCycleLR.html",
)


def onecycle_momentum_pytorch() -> float:
    optimizer = some_optimizer()  # momentum 0.9
    OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    return optimizer.param_groups[0]["momentum"]


def onecycle_momentum_jax() -> Array:
    schedule = optax.cosine_onecycle_schedule(10, peak_value=1.0)
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=schedule, momentum=0.9)
    return optimizer.init(jnp.zeros(())).hyperparams["momentum"]


def onecycle_momentum_pytorch_fixed() -> float:
    optimizer = some_optimizer()
    OneCycleLR(optimizer, max_lr=1.0, total_steps=10, cycle_momentum=False)
    return optimizer.param_groups[0]["momentum"]


ONECYCLE_MOMENTUM = Trap(
    id="onecycle-momentum",
    statement="OneCycleLR also overwrites the optimizer's MOMENTUM, with a cycle from 0.95 to "
    "0.85; an Optax schedule touches the learning rate only.",
    severity="silent wrong result",
    symptoms="momentum or beta1 changed by the scheduler, one cycle, cycle_momentum",
    pytorch=onecycle_momentum_pytorch,
    pytorch_gives=0.95,
    jax=onecycle_momentum_jax,
    jax_gives=0.9,
    fix="cycle_momentum=False.",
    pytorch_fixed=onecycle_momentum_pytorch_fixed,
    fix_tolerance=1e-7,
    fix_tolerance_reason="Optax keeps the number in float32",
    source="https://docs.pytorch.org/docs/stable/generated/"
    "torch.optim.lr_scheduler.OneCycleLR.html",
)


def step_order_pytorch() -> list[float]:
    optimizer, rates = some_optimizer(), []
    scheduler = ExponentialLR(optimizer, gamma=0.5)
    for _ in range(3):
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
    return rates


def step_order_jax() -> list[float]:
    return rates_optax(optax.exponential_decay(1.0, transition_steps=1, decay_rate=0.5), steps=3)


def step_order_pytorch_fixed() -> list[float]:
    optimizer, rates = some_optimizer(), []
    scheduler = ExponentialLR(optimizer, gamma=0.5)
    for _ in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


SCHEDULER_STEP_ORDER = Trap(
    id="scheduler-step-order",
    statement="The scheduler must step AFTER the optimizer in PyTorch, or the first rate is "
    "skipped; Optax reads the schedule at count 0 for the first update.",
    severity="silent wrong result",
    symptoms="first learning rate skipped, lr_scheduler.step() before optimizer.step() warning",
    pytorch=step_order_pytorch,
    pytorch_gives=Warns("before `optimizer.step()`", [0.5, 0.25, 0.125]),
    jax=step_order_jax,
    jax_gives=[1.0, 0.5, 0.25],
    fix="optimizer.step(), then scheduler.step().",
    pytorch_fixed=step_order_pytorch_fixed,
    source=ADJUST,
)


def mutation_pytorch() -> Tensor:
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = SGD([parameter], lr=0.25)
    optimizer.param_groups[0]["lr"] = 1.0
    parameter.grad = torch.ones(())
    optimizer.step()
    return parameter


def mutation_jax() -> Array:
    settings = {"learning_rate": 0.25}
    optimizer = optax.sgd(settings["learning_rate"])
    settings["learning_rate"] = 1.0
    update, _ = optimizer.update(jnp.ones(()), optimizer.init(jnp.zeros(())))
    return update


def mutation_jax_fixed() -> Array:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.25)
    state = optimizer.init(jnp.zeros(()))
    state.hyperparams["learning_rate"] = jnp.array(1.0)
    update, _ = optimizer.update(jnp.ones(()), state)
    return update


LEARNING_RATE_BAKED_IN = Trap(
    id="learning-rate-baked-in",
    statement="A PyTorch optimizer reads its learning rate at each step, so it can be set; Optax "
    "takes the number once, when the optimizer is made.",
    severity="silent wrong result",
    symptoms="changing the learning rate has no effect, param_groups, jit constant",
    pytorch=mutation_pytorch,
    pytorch_gives=-1.0,
    jax=mutation_jax,
    jax_gives=-0.25,
    fix="optax.inject_hyperparams puts the learning rate into the state, where it can be set.",
    jax_fixed=mutation_jax_fixed,
    source="https://optax.readthedocs.io/en/latest/api/optimizer_schedules.html"
    "#optax.schedules.inject_hyperparams",
)


def plateau_pytorch() -> list[float]:
    scheduler, rates = ReduceLROnPlateau(some_optimizer(), patience=2, factor=0.5), []
    for loss in [1.0, 1.0, 1.0, 1.0, 1.0]:
        scheduler.step(loss)
        rates += scheduler.get_last_lr()
    return rates


def plateau_jax() -> list[float]:
    plateau, rates = optax.contrib.reduce_on_plateau(patience=2, factor=0.5), []
    state = plateau.init(jnp.zeros(()))
    for loss in [1.0, 1.0, 1.0, 1.0, 1.0]:
        _, state = plateau.update(jnp.zeros(()), state, value=loss)
        rates.append(float(state.scale))
    return rates


def plateau_jax_fixed() -> list[float]:
    plateau, rates = optax.contrib.reduce_on_plateau(patience=2 + 1, factor=0.5), []
    state = plateau.init(jnp.zeros(()))
    for loss in [1.0, 1.0, 1.0, 1.0, 1.0]:
        _, state = plateau.update(jnp.zeros(()), state, value=loss)
        rates.append(float(state.scale))
    return rates


PLATEAU_PATIENCE = Trap(
    id="plateau-patience",
    statement="With patience n PyTorch lowers the rate after n + 1 values that bring no "
    "improvement, Optax after n.",
    severity="silent wrong result",
    symptoms="ReduceLROnPlateau drops one epoch early, patience off by one",
    pytorch=plateau_pytorch,
    pytorch_gives=[1.0, 1.0, 1.0, 0.5, 0.5],
    jax=plateau_jax,
    jax_gives=[1.0, 1.0, 0.5, 0.5, 0.25],
    fix="Give Optax one more.",
    jax_fixed=plateau_jax_fixed,
    source="pytorch/pytorch#119763; optax/contrib/_reduce_on_plateau.py (0.2.8)",
)
