"""A straightforward network in NumPy, in any precision and order of summation.

Independent of the oracle: its own formulas, its own backpropagation. `style` follows the formulas
of one framework or the other; `order` says how inner products are summed; `flush` sets subnormal
results to zero; `wrong` maps the name of a coefficient to a relative error put into it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from twofold.problem.problem import Batch
from twofold.problem.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT, TrainState
from twofold.spec.experiment import Experiment

Array = np.ndarray[Any, Any]
ORDERS = ("blas", "sequential", "pairwise", "fused")
STYLES = ("torch", "jax")


@dataclass(frozen=True)
class Step:
    """All that one training step computes."""

    logits: Array
    loss: Array
    gradients: dict[str, Array]
    state: TrainState


@dataclass(frozen=True)
class Plain:
    dtype: type
    order: str = "blas"
    style: str = "torch"
    seed: int = 0
    flush: bool = False
    wrong: Mapping[str, float] = field(default_factory=dict)

    def coefficient(self, name: str, value: float) -> float:
        """A number that stands in the code, with the error that a test put into it."""
        return value * (1.0 + self.wrong.get(name, 0.0))

    def kept(self, array: Array) -> Array:
        """The array, its subnormal numbers flushed to zero if so asked."""
        assert array.dtype == self.dtype, array.dtype
        if not self.flush:
            return array
        tiny = np.finfo(self.dtype).smallest_normal
        return np.where(np.abs(array) < tiny, self.dtype(0), array)

    def matmul(self, left: Array, right: Array) -> Array:
        """(m, k) x (k, n) summed in this order."""
        if self.order == "blas":
            return self.kept(left @ right)
        shuffled = np.random.default_rng(self.seed).permutation(left.shape[1])
        left, right = left[:, shuffled], right[shuffled]
        if self.order == "pairwise":
            return self.sum(left[:, :, None] * right[None, :, :], axis=1)
        wide = np.float64 if self.dtype is np.float32 else np.longdouble
        result = np.zeros((left.shape[0], right.shape[1]), self.dtype)
        for k in range(left.shape[1]):
            if self.order == "fused":  # one rounding for product and sum together
                term = left[:, k, None].astype(wide) * right[k].astype(wide)
                result = self.kept((result.astype(wide) + term).astype(self.dtype))
            else:
                result = self.kept(result + self.kept(left[:, k, None] * right[k]))
        return result

    def sum(self, array: Array, axis: int) -> Array:
        """Sum over an axis in this order."""
        array = np.moveaxis(array, axis, 0)
        array = array[np.random.default_rng(self.seed + 1).permutation(len(array))]
        if self.order == "blas":
            return self.kept(array.sum(axis=0, dtype=self.dtype))
        if self.order == "pairwise":
            while len(array) > 1:
                odd = array[-1:] if len(array) % 2 else array[:0]
                pairs = array[: len(array) // 2 * 2]
                array = np.concatenate([pairs[0::2] + pairs[1::2], odd])
            return self.kept(array[0])
        result = array[0]
        for row in array[1:]:
            result = self.kept(result + row)
        return result

    # activations

    def activation(self, name: str, z: Array) -> tuple[Array, Array]:
        """f(z) and f'(z)."""
        value, derivative = getattr(self, "_" + name)(z)
        return self.kept(value), self.kept(derivative)

    def _identity(self, z: Array) -> tuple[Array, Array]:
        return z, np.ones_like(z)

    def _relu(self, z: Array) -> tuple[Array, Array]:
        return np.maximum(z, 0), (z > 0).astype(z.dtype)

    def _leaky_relu(self, z: Array) -> tuple[Array, Array]:
        slope = self.dtype(self.coefficient("leaky_slope", 0.01))
        steep = z > 0 if self.style == "torch" else z >= 0
        return np.where(z > 0, z, slope * z), np.where(steep, self.dtype(1), slope)

    def _elu(self, z: Array) -> tuple[Array, Array]:
        alpha = self.dtype(self.coefficient("elu_alpha", 1.0))
        shrunk = np.expm1(np.minimum(z, 0))
        slope = np.exp(np.minimum(z, 0)) if self.style == "torch" else shrunk + self.dtype(1)
        return np.where(z > 0, z, alpha * shrunk), np.where(z > 0, self.dtype(1), alpha * slope)

    def _tanh(self, z: Array) -> tuple[Array, Array]:
        t = np.tanh(z)
        return t, 1 - t * t if self.style == "torch" else (1 + t) * (1 - t)

    def _sigmoid(self, z: Array) -> tuple[Array, Array]:
        with np.errstate(over="ignore"):
            s = self.kept(1 / (1 + np.exp(-z)))
        return s, (1 - s) * s

    def _silu(self, z: Array) -> tuple[Array, Array]:
        s, _ = self._sigmoid(z)
        if self.style == "torch":
            return z * s, s * (1 + z * (1 - s))
        return z * s, s + z * (s * (1 - s))

    def _gelu(self, z: Array) -> tuple[Array, Array]:
        root_half = self.coefficient("root_half", math.sqrt(0.5))
        if self.style == "torch":
            cdf = (1 + special.erf(z * root_half)) * self.coefficient("gelu_half", 0.5)
        else:
            cdf = self.coefficient("gelu_half", 0.5) * special.erfc(-z * root_half)
        density = self.coefficient("density", 1 / math.sqrt(2 * math.pi))
        return z * cdf, cdf + z * (np.exp(z * z * -0.5) * density)

    def _gelu_tanh(self, z: Array) -> tuple[Array, Array]:
        rate = self.coefficient("gelu_rate", math.sqrt(2 / math.pi))
        cubic = self.coefficient("gelu_cubic", 0.044715)
        t = np.tanh(rate * (z + cubic * (z * z * z)))
        slope = rate * (1 + self.coefficient("gelu_three", 3.0) * cubic * (z * z))
        half = self.coefficient("gelu_half", 0.5)
        return half * z * (1 + t), half * (1 + t) + half * z * (1 - t * t) * slope

    # losses

    def loss(self, loss: Any, logits: Array, targets: Array) -> tuple[Array, Array]:
        """The mean loss, shape (), and its gradient with respect to the logits."""
        return getattr(self, "_" + loss.kind)(loss, logits, targets)

    def _mean(self, terms: Array) -> Array:
        total = self.sum(terms.reshape(-1), axis=0)
        return np.asarray(total / self.dtype(self.coefficient("count", terms.size)))

    def _cross_entropy(self, spec: Any, logits: Array, labels: Array) -> tuple[Array, Array]:
        rows, classes = np.arange(len(labels)), logits.shape[1]
        shifted = self.kept(logits - logits.max(axis=1, keepdims=True))
        exponentials = self.kept(np.exp(shifted))
        partition = self.sum(exponentials, axis=1)[:, None]
        log_p = shifted - np.log(partition)
        p = np.exp(log_p) if self.style == "torch" else exponentials / partition
        hot = np.zeros_like(p)
        hot[rows, labels] = 1
        if spec.class_weights is None and spec.label_smoothing == 0:
            share = self.dtype(self.coefficient("gradient_count", 1 / len(labels)))
            return self._mean(-log_p[rows, labels]), self.kept((p - hot) * share)
        smoothing = self.coefficient("smoothing", spec.label_smoothing)
        target = self.dtype(1 - smoothing) * hot + self.dtype(smoothing / classes)
        if spec.class_weights is None:
            weights, by = np.ones(classes, self.dtype), self.dtype(len(labels))
        else:
            weights = np.array(spec.class_weights, self.dtype)
            weights[0] = self.coefficient("class_weight", float(weights[0]))
            by = self.sum(weights[labels], axis=0)
        by = self.dtype(by * self.dtype(self.coefficient("weight_sum", 1.0)))
        factors = self.kept(weights * target)
        terms = self.sum((-factors * log_p).T, axis=0)
        whole = self.sum(factors.T, axis=0)[:, None]
        if self.style == "torch":  # divided first
            shares = self.kept(factors / by)
            gradient = p * self.sum(shares.T, axis=0)[:, None] - shares
        else:
            gradient = (p * whole - factors) / by
        return np.asarray(self.sum(terms, axis=0) / by), self.kept(gradient)

    def _mse(self, _: Any, logits: Array, targets: Array) -> tuple[Array, Array]:
        difference = logits - targets
        norm = self.coefficient("two", 2.0) * self.coefficient("gradient_count", 1 / logits.size)
        return self._mean(difference * difference), self.kept(difference * self.dtype(norm))

    def _huber(self, spec: Any, logits: Array, targets: Array) -> tuple[Array, Array]:
        delta = self.dtype(self.coefficient("huber_delta", spec.delta))
        share = self.dtype(self.coefficient("gradient_count", 1 / logits.size))
        half = self.dtype(self.coefficient("half", 0.5))
        error = logits - targets
        distance = np.abs(error)
        if self.style == "torch":
            inside = distance < delta
            line = delta * (distance - half * delta)
            terms = np.where(inside, half * error * error, line)
            slope = np.where(inside, error, np.sign(error) * delta)
            return self._mean(terms), self.kept(slope * share)
        q = np.minimum(distance, delta)
        terms = half * (q * q) + delta * (distance - q)
        slope = delta + np.where(distance < delta, q - delta, self.dtype(0))
        return self._mean(terms), self.kept(np.sign(error) * slope * share)

    def _weighted_bce(self, spec: Any, logits: Array, targets: Array) -> tuple[Array, Array]:
        share = self.dtype(self.coefficient("gradient_count", 1 / logits.size))
        weights = np.array(spec.pos_weight, self.dtype)
        weights[0] = self.coefficient("pos_weight", float(weights[0]))
        softening = np.log1p(np.exp(-np.abs(logits)))
        log_p = np.minimum(logits, 0) - softening
        if self.style == "torch":
            loss = (1 - targets) * logits - ((weights - 1) * targets + 1) * log_p
            positive = weights * targets
            sigmoid = self._sigmoid(logits)[0]
            slope = (positive + 1 - targets) * sigmoid - positive
            return self._mean(loss), self.kept(slope * share)
        log_not_p = np.minimum(-logits, 0) - softening
        loss = -weights * targets * log_p - (1 - targets) * log_not_p
        s, not_s = np.exp(logits + log_not_p), np.exp(-logits + log_p)
        slope = (1 - targets) * s - weights * targets * not_s
        return self._mean(loss), self.kept(slope * share)

    def _bce_with_logits(self, spec: Any, logits: Array, targets: Array) -> tuple[Array, Array]:
        if spec.pos_weight is not None:
            return self._weighted_bce(spec, logits, targets)
        norm = self.dtype(self.coefficient("gradient_count", 1 / logits.size))
        softening = np.log1p(np.exp(-np.abs(logits)))
        log_p = np.minimum(logits, 0) - softening
        if self.style == "torch":
            loss = (1 - targets) * logits - log_p
            return self._mean(loss), self.kept((self._sigmoid(logits)[0] - targets) * norm)
        log_not_p = np.minimum(-logits, 0) - softening
        loss = -targets * log_p - (1 - targets) * log_not_p
        s, not_s = np.exp(logits + log_not_p), np.exp(-logits + log_p)
        return self._mean(loss), self.kept(((1 - targets) * s - targets * not_s) * norm)

    # network and optimizers

    def step(
        self, experiment: Experiment, state: TrainState, batch: Batch, masks: tuple[Array, ...]
    ) -> Step:
        """Forward pass, backpropagation and optimizer update from a state."""
        model = experiment.model
        keep = self.coefficient("keep", 1.0 - model.dropout)
        layers = len(model.hidden)
        hidden, inputs, derivatives = batch.inputs, [], []
        for layer in range(layers + 1):
            inputs.append(hidden)
            z = self.matmul(hidden, state.parameters[f"layers.{layer}.weight"].T)
            if model.bias:
                z = self.kept(z + state.parameters[f"layers.{layer}.bias"])
            if layer < layers:
                hidden, derivative = self.activation(model.activation, z)
                derivatives.append(derivative)
                if masks:
                    hidden = hidden * masks[layer] / self.dtype(keep)
        logits = z
        loss, delta = self.loss(experiment.loss, logits, batch.targets)
        gradients: dict[str, Array] = {}
        for layer in range(layers, -1, -1):
            gradients[f"layers.{layer}.weight"] = self.matmul(delta.T, inputs[layer])
            if model.bias:
                gradients[f"layers.{layer}.bias"] = self.sum(delta, axis=0)
            if layer > 0:
                delta = self.matmul(delta, state.parameters[f"layers.{layer}.weight"])
                if masks:
                    delta = delta * masks[layer - 1] / self.dtype(keep)
                delta = self.kept(delta * derivatives[layer - 1])
        return Step(logits, loss, gradients, self.update(experiment, state, gradients))

    def update(
        self, experiment: Experiment, state: TrainState, gradients: Mapping[str, Array]
    ) -> TrainState:
        """The state after one step of the optimizer."""
        spec = experiment.optimizer
        parameters: dict[str, Array] = {}
        slots: dict[str, dict[str, Array]] = {slot: {} for slot in state.slots}
        for name, p in state.parameters.items():
            before = {slot: arrays[name] for slot, arrays in state.slots.items()}
            change = self._sgd if spec.kind == "sgd" else self._adam
            parameters[name], after = change(spec, p, before, gradients[name], state.step + 1)
            for slot, array in after.items():
                slots[slot][name] = array
        return TrainState(parameters, slots, state.step + 1)

    def decay(self, spec: Any, p: Array) -> float:
        """The weight decay of a parameter; `bias_decay` is a test's, where none should be."""
        if spec.decay_biases or p.ndim > 1:
            return self.coefficient("weight_decay", spec.weight_decay)
        return self.wrong.get("bias_decay", 0.0) * spec.weight_decay

    def _sgd(
        self, spec: Any, p: Array, slots: dict[str, Array], g: Array, _: int
    ) -> tuple[Array, dict[str, Array]]:
        rate = self.coefficient("learning_rate", spec.learning_rate)
        mu = self.coefficient("momentum", spec.momentum)
        if spec.weight_decay > 0:
            g = self.kept(g + self.decay(spec, p) * p)
        after = {}
        if spec.momentum > 0:
            buffer = self.kept(mu * slots[MOMENTUM] + g)
            after[MOMENTUM] = buffer
            ahead = self.coefficient("nesterov", mu)
            g = self.kept(g + ahead * buffer) if spec.nesterov else buffer
        return self.kept(p - rate * g), after

    def _adam(
        self, spec: Any, p: Array, slots: dict[str, Array], g: Array, step: int
    ) -> tuple[Array, dict[str, Array]]:
        rate = self.coefficient("learning_rate", spec.learning_rate)
        decay = self.decay(spec, p)
        b1, b2 = (self.coefficient(f"beta_{i + 1}", beta) for i, beta in enumerate(spec.betas))
        eps = self.coefficient("eps", spec.eps)
        c1 = self.coefficient("correction_1", 1 - spec.betas[0] ** step)
        c2 = self.coefficient("correction_2", 1 - spec.betas[1] ** step)
        if spec.kind == "adam" and spec.weight_decay > 0:
            g = self.kept(g + decay * p)
        m, v = slots[FIRST_MOMENT], slots[SECOND_MOMENT]
        if self.style == "torch":  # lerp_, addcmul_, addcdiv_
            weight = 1 - b1
            m = m + weight * (g - m) if weight < 0.5 else g - (g - m) * (1 - weight)
            v = v * b2 + (1 - b2) * g * g
            m, v = self.kept(m), self.kept(v)
            if spec.kind == "adamw":
                p = p * (1 - rate * decay)
            divisor = np.sqrt(v) / math.sqrt(c2) + eps
            return self.kept(p + (-(rate / c1) * m) / divisor), {FIRST_MOMENT: m, SECOND_MOMENT: v}
        m = self.kept((1 - b1) * g + b1 * m)
        v = self.kept((1 - b2) * self.kept(g * g) + b2 * v)
        direction = self.kept(m / c1) / (np.sqrt(self.kept(v / c2)) + eps)
        if spec.kind == "adamw":
            direction = direction + decay * p
        return self.kept(p + -rate * direction), {FIRST_MOMENT: m, SECOND_MOMENT: v}
