"""Bugs of the optimizers: settings carried over from another framework, and wrong formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from comparisons.evidence.mutants.hosts import Host, Slots, Tensor
from comparisons.evidence.mutants.mutant import Change, Mutant
from twofold.problem.problem import Problem
from twofold.problem.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT
from twofold.spec.experiment import Adam, AdamW


def settings(**values: object) -> Change:
    """The session gets these optimizer settings; the oracle keeps the right ones."""

    def change(problem: Problem) -> Problem:
        optimizer = problem.experiment.optimizer.model_copy(update=values)
        return _with_optimizer(problem, optimizer)

    return change


def _with_optimizer(problem: Problem, optimizer: Any) -> Problem:
    return replace(
        problem, experiment=problem.experiment.model_copy(update={"optimizer": optimizer})
    )


def _of_kind(kind: type[Adam] | type[AdamW]) -> Change:
    def change(problem: Problem) -> Problem:
        given = problem.experiment.optimizer.model_dump(exclude={"kind"})
        return _with_optimizer(problem, kind(**given))

    return change


@dataclass(frozen=True)
class AdamRule:
    """Adam and AdamW, correct unless a field says otherwise."""

    change_gradient: Callable[[Host, Tensor], Tensor] = lambda _, g: g
    keep: Callable[[Host, Tensor], Tensor] = lambda _, slot: slot
    correct_first: bool = True
    correct_second: bool = True
    count_offset: int = 0
    eps_place: str = "outside"  # outside, inside, before correction
    square: bool = True
    root: bool = True
    swap: bool = False
    amsgrad: bool = False
    nesterov: bool = False
    coupled: bool | None = None  # None: as the experiment says
    decay_factor: float | None = None  # None: the learning rate
    decay_after: bool = False
    decay_biases: bool = True
    times: float = 1.0
    same_beta: bool = False

    def __call__(
        self, host: Host, spec: Any, p: Tensor, gradient: Tensor, slots: Slots, count: int
    ) -> tuple[Tensor, Slots]:
        """What is added to the parameter, and the new moments."""
        g = self.change_gradient(host, gradient)
        coupled = spec.kind == "adam" if self.coupled is None else self.coupled
        biases = self.decay_biases and spec.decay_biases
        decay = spec.weight_decay if biases or p.ndim > 1 else 0.0
        if coupled:
            g = g + decay * p
        beta_1, beta_2 = spec.betas
        if self.same_beta:
            beta_2 = beta_1
        m = self.keep(host, beta_1 * slots[FIRST_MOMENT] + (1 - beta_1) * g)
        size = g * g if self.square else host.xp.abs(g)
        v = self.keep(host, beta_2 * slots[SECOND_MOMENT] + (1 - beta_2) * size)
        if self.amsgrad:
            before = slots[SECOND_MOMENT]
            v = host.xp.where(v > before, v, before)
        t = count + self.count_offset
        c1 = 1 - beta_1**t if self.correct_first else 1.0
        c2 = 1 - beta_2**t if self.correct_second else 1.0
        ahead = beta_1 * m + (1 - beta_1) * g if self.nesterov else m
        direction = self._direction(host, spec.eps, ahead, v, c1, c2)
        delta = -spec.learning_rate * direction
        if not coupled:
            rate = spec.learning_rate if self.decay_factor is None else self.decay_factor
            delta = delta - rate * decay * (p + delta if self.decay_after else p)
        kept = (v, m) if self.swap else (m, v)
        return self.times * delta, {FIRST_MOMENT: kept[0], SECOND_MOMENT: kept[1]}

    def _direction(
        self, host: Host, eps: float, m: Tensor, v: Tensor, c1: float, c2: float
    ) -> Tensor:
        if not self.root:
            return m / c1 / (v / c2 + eps)
        if self.eps_place == "inside":
            return m / c1 / host.xp.sqrt(v / c2 + eps)
        if self.eps_place == "before correction":
            return m / c1 / ((host.xp.sqrt(v) + eps) / c2**0.5)
        return m / c1 / (host.xp.sqrt(v / c2) + eps)


@dataclass(frozen=True)
class SgdRule:
    """SGD with momentum, correct unless a field says otherwise."""

    dampening: float = 0.0
    nesterov: str = "as specified"  # as specified, dropped, look-back
    rate_in_buffer: bool = False
    decoupled: bool = False
    decay: bool = True
    decay_biases: bool = True
    forget: bool = False

    def __call__(
        self, host: Host, spec: Any, p: Tensor, gradient: Tensor, slots: Slots, count: int
    ) -> tuple[Tensor, Slots]:
        """What is added to the parameter, and the new momentum."""
        del host, count
        biases = self.decay_biases and spec.decay_biases
        decay = spec.weight_decay if self.decay and (biases or p.ndim > 1) else 0.0
        rate = spec.learning_rate
        g = gradient if self.decoupled else gradient + decay * p
        before = 0.0 * slots[MOMENTUM] if self.forget else slots[MOMENTUM]
        pushed = (rate if self.rate_in_buffer else 1.0) * (1 - self.dampening) * g
        buffer = spec.momentum * before + pushed
        step = buffer if self.rate_in_buffer else rate * buffer
        if spec.nesterov and self.nesterov == "as specified":
            step = rate * (g + spec.momentum * buffer)
        if spec.nesterov and self.nesterov == "look-back":
            step = rate * (g + spec.momentum * before)
        if self.decoupled:
            step = step + rate * decay * p
        return -step, {MOMENTUM: buffer}


def _rule(rule: Any) -> Any:
    return lambda host: host.update(rule)


def clip_norm_alone(limit: float) -> Callable[[Host, Tensor], Tensor]:
    """A gradient clipped by its own norm."""

    def clip(host: Host, g: Tensor) -> Tensor:
        return g * host.xp.clip(limit / host.xp.sqrt((g * g).sum()), 0.0, 1.0)

    return clip


def _clip_values(limit: float) -> Callable[[Host, Tensor], Tensor]:
    return lambda host, g: host.xp.clip(g, -limit, limit)


def _rounded(bits: int) -> Callable[[Host, Tensor], Tensor]:
    return lambda host, x: host.rounded(x, bits)


def _set(name: str, description: str, change: Change, base: str = "classes") -> Mutant:
    return Mutant(name, "optimizer settings", description, base, change=change)


def _adam(name: str, description: str, base: str = "classes", **fields: Any) -> Mutant:
    return Mutant(name, "Adam's formula", description, base, plant=_rule(AdamRule(**fields)))


def _sgd(name: str, description: str, base: str = "outputs", **fields: Any) -> Mutant:
    return Mutant(name, "SGD's formula", description, base, plant=_rule(SgdRule(**fields)))


SETTINGS: Final = (
    _set("decay-1e-4", "Optax's default weight decay", settings(weight_decay=1e-4)),
    _set("no-decay", "no weight decay", settings(weight_decay=0.0)),
    _set("eps-1e-7", "the eps of Keras, 1e-7", settings(eps=1e-7)),
    _set("eps-1e-6", "eps 1e-6", settings(eps=1e-6)),
    _set("beta2-0.99", "a second beta of 0.99", settings(betas=(0.9, 0.99))),
    _set("beta1-0.91", "a first beta of 0.91", settings(betas=(0.91, 0.999))),
    _set("learning-rate-off", "a learning rate 0.1 % off", settings(learning_rate=1.001e-3)),
    _set("l2-for-decoupled", "L2 in place of decoupled decay", _of_kind(Adam)),
    _set("decoupled-for-l2", "decoupled decay in place of L2", _of_kind(AdamW), "classes, adam"),
    _set("momentum-0.899", "a momentum of 0.899", settings(momentum=0.899), "outputs"),
    _set("nesterov-dropped", "no Nesterov momentum", settings(nesterov=False), "outputs"),
    _set("nesterov-added", "Nesterov momentum", settings(nesterov=True), "outputs, momentum"),
    _set(
        "decay-of-biases",
        "biases decay as well",
        settings(decay_biases=True),
        "classes, biases do not decay",
    ),
    _set(
        "no-decay-at-all",
        "weights do not decay either",
        settings(weight_decay=0.0),
        "classes, biases do not decay",
    ),
    _set(
        "sgd-decay-of-biases",
        "biases decay as well in SGD",
        settings(decay_biases=True),
        "outputs, huber",
    ),
    _set("sgd-without-decay", "no weight decay in SGD", settings(weight_decay=0.0), "outputs"),
)

FORMULAS: Final = (
    _adam("eps-inside-root", "eps inside the root", eps_place="inside"),
    _adam("eps-before-correction", "eps before bias correction", eps_place="before correction"),
    _adam("no-bias-correction", "no bias correction", correct_first=False, correct_second=False),
    _adam("no-first-correction", "the first moment is not corrected", correct_first=False),
    _adam("no-second-correction", "the second moment is not corrected", correct_second=False),
    _adam("count-off-by-one", "the step in the bias correction is one ahead", count_offset=1),
    _adam("moments-swapped", "the moments are stored in each other's place", swap=True),
    _adam("not-squared", "|g| for g squared in the second moment", square=False),
    _adam("no-root", "no root of the second moment", root=False),
    _adam("one-beta", "the first beta for both moments", same_beta=True),
    _adam("amsgrad", "AMSGrad", amsgrad=True),
    _adam("nadam", "Nesterov momentum in AdamW", nesterov=True),
    _adam("decay-after-update", "decay of the updated parameter", decay_after=True),
    _adam("decay-without-rate", "decay not multiplied by the learning rate", decay_factor=1.0),
    _adam("no-decay-of-biases", "biases do not decay", decay_biases=False),
    _adam("updated-twice", "the update is applied twice", times=2.0),
    _adam("ascent", "the update has the wrong sign", times=-1.0),
    _adam(
        "clipped-norm",
        "each gradient's norm is clipped at 0.1",
        change_gradient=clip_norm_alone(0.1),
    ),
    _adam("clipped-values", "gradients are clipped at 0.01", change_gradient=_clip_values(0.01)),
    _adam("bfloat16-gradients", "gradients in bfloat16", change_gradient=_rounded(8)),
    _adam("bfloat16-moments", "moments kept in bfloat16", keep=_rounded(8)),
    _adam("float32-moments", "moments kept in float32", keep=_rounded(24)),
    _sgd("dampening", "momentum dampened by 0.1", "outputs, momentum", dampening=0.1),
    _sgd(
        "rate-in-buffer",
        "the learning rate inside the momentum",
        "outputs, momentum",
        rate_in_buffer=True,
    ),
    _sgd("look-back", "Nesterov's momentum with the buffer before the step", nesterov="look-back"),
    _sgd("sgd-decoupled-decay", "decay past the momentum", decoupled=True),
    _sgd("sgd-no-decay-of-biases", "biases do not decay in SGD", decay_biases=False),
    _sgd("momentum-forgotten", "the momentum restarts every step", forget=True),
)


CONTROLS: Final = (
    _adam("control-adamw", "no bug: AdamW written out"),
    _adam("control-adam", "no bug: Adam written out", "classes, adam"),
    _sgd("control-sgd", "no bug: SGD written out"),
    _adam("control-biases", "no bug: biases do not decay", "classes, biases do not decay"),
    _sgd("control-sgd-biases", "no bug: biases do not decay in SGD", "outputs, huber"),
)

MUTANTS: Final = (*SETTINGS, *FORMULAS)
