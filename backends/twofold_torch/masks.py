"""Dropout masks in PyTorch, drawn on the device, equal bit for bit to `jax.random`.

Threefry-2x32 (see `twofold.spec.threefry`) in int32 tensors: PyTorch adds and shifts unsigned
integers on few devices and not under `torch.compile`, and int32 wraps as uint32 does. The right
shift of int32 repeats the sign, so a logical shift masks it away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from twofold.spec import threefry


def shift_right(words: Tensor, places: int) -> Tensor:
    """A logical right shift by 1 to 31 places of int32 words."""
    return (words >> places) & ((1 << (32 - places)) - 1)


def threefry_in_graph(keys: tuple[Tensor, Tensor], low: Tensor) -> tuple[Tensor, Tensor]:
    """As `threefry_2x32`, without changing a tensor in place.

    For `torch.compile`, which would turn every change in place into a new tensor first.
    """
    schedule = (*keys, keys[0] ^ keys[1] ^ threefry.PARITY)
    x, y = schedule[0], low + schedule[1]
    for group in range(5):
        for rotation in threefry.ROTATIONS[group % 2]:
            x = x + y
            y = (y << rotation | shift_right(y, 32 - rotation)) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + (schedule[(group + 2) % 3] + (group + 1))
    return x, y


def threefry_2x32(keys: tuple[Tensor, Tensor], low: Tensor) -> tuple[Tensor, Tensor]:
    """Encrypt the counters `(0, low)` under `keys`; int32, keys and counters of one shape.

    Works in place on its own two words: in eager mode that halves the time.
    """
    if torch.compiler.is_compiling():
        return threefry_in_graph(keys, low)
    schedule = (*keys, keys[0] ^ keys[1] ^ threefry.PARITY)
    x, y = schedule[0].clone(), low + schedule[1]
    for group in range(5):
        for rotation in threefry.ROTATIONS[group % 2]:
            x.add_(y)
            wrapped = (y >> (32 - rotation)).bitwise_and_((1 << rotation) - 1)
            y.bitwise_left_shift_(rotation).bitwise_or_(wrapped).bitwise_xor_(x)
        x.add_(schedule[(group + 1) % 3])
        y.add_(schedule[(group + 2) % 3]).add_(group + 1)
    return x, y


def dropout_keys(seed: int, steps: range, layers: int, device: torch.device) -> Tensor:
    """The keys of steps, int32 (steps, dropout layers, 2): one for each dropout layer.

    So few numbers are drawn in NumPy, which takes a third of the time of PyTorch's eager
    operations. Equals `fold_in(fold_in(stream, step), layer)` of `jax.random`.
    """
    numbers = np.arange(steps.start, steps.stop, dtype=np.uint32)
    keys = threefry.dropout_keys(seed, numbers, layers)
    return torch.from_numpy(keys.view(np.int32)).to(device)


@final
class SharedMasks:
    """Draws which features are kept, for every dropout layer of a model.

    `dropouts` are the features and the rate of each.
    """

    def __init__(self, dropouts: tuple[tuple[int, float], ...]) -> None:
        self.layers = tuple((width, threefry.keep_threshold(rate)) for width, rate in dropouts)

    def __call__(self, keys: Tensor, rows: int) -> tuple[Tensor, ...]:
        """For each dropout layer bool (*steps, rows, features).

        `keys` (*steps, dropout layers, 2), int32, are those of a step, or of several at once.
        """
        masks: dict[int, Tensor] = {}
        for features, layers in self._together().items():
            of_layers = keys
            if len(layers) < len(self.layers):
                of_layers = torch.stack([keys[..., layer, :] for layer in layers], dim=-2)
            draws = _draws(of_layers, rows * features)  # (*steps, layers, rows * features)
            # All layers are compared at once, for there is seldom more than one rate.
            thresholds = {self.layers[layer][1] for layer in layers}
            keep = {threshold: draws < threshold for threshold in thresholds}
            for place, layer in enumerate(layers):
                width, threshold = self.layers[layer]
                own = keep[threshold][..., place, : rows * width]  # the first draws are enough
                masks[layer] = own.reshape(*keys.shape[:-2], rows, width)
        return tuple(masks[layer] for layer in range(len(self.layers)))

    def _together(self) -> Mapping[int, Sequence[int]]:
        """The layers of each run of the cipher, by the features that it draws for every layer.

        An eager step pays for each kernel: one run serves all layers, and is as wide as the widest.
        A graph pays for each draw, and takes longer to compile with each run: one for each width.
        """
        if not torch.compiler.is_compiling():
            return {max(width for width, _ in self.layers): range(len(self.layers))}
        layers: dict[int, list[int]] = {}
        for layer, (width, _) in enumerate(self.layers):
            layers.setdefault(width, []).append(layer)
        return layers


def _draws(keys: Tensor, units: int) -> Tensor:
    """For each key of `keys` (*steps, layers, 2) the top bits of its draws (*steps, layers, units).

    They are those of a uniform float32 (`threefry.MANTISSA_BITS`).
    """
    drawn = (*keys.shape[:-1], units)
    counts = torch.arange(units, dtype=torch.int32, device=keys.device).expand(drawn)
    x, y = threefry_2x32((keys[..., 0:1].expand(drawn), keys[..., 1:2].expand(drawn)), counts)
    return shift_right(x ^ y, 32 - threefry.MANTISSA_BITS)
