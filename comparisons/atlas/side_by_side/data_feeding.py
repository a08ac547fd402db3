"""Data feeding: a data set of 10,000 rows in batches of 64, shuffled once an epoch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from comparisons.atlas.side_by_side.topic import (
    Topic,
    Values,
    show,
)

INPUTS = np.arange(200_000, dtype=np.float32).reshape(10_000, 20)
LABELS = np.arange(10_000) % 3


def with_pytorch() -> Values:
    rows = TensorDataset(
        torch.from_numpy(INPUTS), torch.from_numpy(LABELS)
    )
    loader = DataLoader(rows, batch_size=64, shuffle=True)
    epoch = [x[:, 0] for x, y in loader]

    class Squares(Dataset):  # a data set of one's own
        def __len__(self):
            return len(INPUTS)

        def __getitem__(self, row):
            return INPUTS[row] ** 2, LABELS[row]

    first = next(iter(DataLoader(Squares(), batch_size=64)))
    full = DataLoader(rows, batch_size=64, drop_last=True)
    return {
        "batches": len(epoch),
        "rows of the first": len(epoch[0]),
        "rows of the last": len(epoch[-1]),
        "every row once": bool(
            (
                torch.cat(epoch).sort()[0].numpy() == INPUTS[:, 0]
            ).all()
        ),
        "in another order": bool(epoch[0][0] != INPUTS[0, 0])
        or bool(epoch[0][1] != INPUTS[1, 0]),
        "own data set, first batch": first[0].sum() / 64,
        "rows with the last dropped": 64 * len(full),
    }


def with_jax() -> Values:
    inputs = jnp.array(INPUTS)  # all of it on the device

    def batches(key):
        order = jax.random.permutation(key, len(inputs))
        for start in range(0, len(order), 64):
            yield inputs[order[start : start + 64]]

    epoch = [x[:, 0] for x in batches(jax.random.key(0))]

    def squares():  # a data set of one's own: a generator
        for start in range(0, len(INPUTS), 64):
            yield INPUTS[start : start + 64] ** 2

    first = jnp.array(next(squares()))

    @jax.jit
    def whole_epoch(key):  # one call; all batches equal
        order = jax.random.permutation(key, len(inputs))
        rows = order[: 156 * 64].reshape(156, 64)

        def step(seen, batch_rows):
            return seen + len(inputs[batch_rows]), None

        return jax.lax.scan(step, 0, rows)[0]

    return {
        "batches": len(epoch),
        "rows of the first": len(epoch[0]),
        "rows of the last": len(epoch[-1]),
        "every row once": bool(
            (jnp.concat(epoch).sort() == INPUTS[:, 0]).all()
        ),
        "in another order": bool(epoch[0][0] != INPUTS[0, 0])
        or bool(epoch[0][1] != INPUTS[1, 0]),
        "own data set, first batch": first.sum() / 64,
        "rows with the last dropped": whole_epoch(
            jax.random.key(0)
        ),
    }


TOPIC = Topic(
    title="Data feeding",
    about="""PyTorch brings a `Dataset` (rows by number) and a `DataLoader` (batches, shuffling,
    worker processes, pinned memory); it calls Python once a row, which is what makes it flexible
    and what it costs. JAX has no loader of its own: people use NumPy, Grain, `tf.data` or
    PyTorch's very `DataLoader`. Data that fits is put on the device once and batches are taken
    there by index; then a whole epoch can be one compiled `lax.scan`, provided that all batches
    have the same shape.""",
    pytorch=with_pytorch,
    jax=with_jax,
)

if __name__ == "__main__":
    show(TOPIC)
