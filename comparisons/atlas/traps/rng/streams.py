"""Seeds, keys and the numbers that come of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap


def again_pytorch() -> Any:
    return bool((torch.rand(3) == torch.rand(3)).all())


def again_jax() -> Any:
    key = jax.random.key(0)
    return bool((jax.random.uniform(key, 3) == jax.random.uniform(key, 3)).all())


def again_jax_fixed() -> Any:
    one, two = jax.random.split(jax.random.key(0))
    return bool((jax.random.uniform(one, 3) == jax.random.uniform(two, 3)).all())


KEY_REUSE = Trap(
    id="key-reuse",
    statement="PyTorch's generator moves on with each call; a JAX key gives the same numbers each "
    "time it is used (are two draws equal?).",
    severity="silent wrong result",
    symptoms="same dropout mask every step, identical noise, layers initialised alike, not random",
    pytorch=again_pytorch,
    pytorch_gives=False,
    jax=again_jax,
    jax_gives=True,
    fix="Split the key, and use each part once.",
    jax_fixed=again_jax_fixed,
    source="jax-ml/jax#170; https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def rows_pytorch() -> Any:
    x = torch.zeros(3, 2) + torch.rand(3, 1)
    return len(x[:, 0].unique())


def rows_jax() -> Any:
    key = jax.random.key(0)
    x = jax.vmap(lambda row: row + jax.random.uniform(key))(jnp.zeros((3, 2)))
    return len(jnp.unique(x[:, 0]))


def rows_jax_fixed() -> Any:
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.vmap(lambda row, key: row + jax.random.uniform(key))(jnp.zeros((3, 2)), keys)
    return len(jnp.unique(x[:, 0]))


VMAP_SHARES_KEY = Trap(
    id="vmap-shares-key",
    statement="A key from outside gives every row of a vmap the same draw (different draws among 3 "
    "rows).",
    severity="silent wrong result",
    symptoms="augmentation identical for whole batch, all environments equal, correlated samples",
    pytorch=rows_pytorch,
    pytorch_gives=3,
    jax=rows_jax,
    jax_gives=1,
    fix="One key for each row, mapped over.",
    jax_fixed=rows_jax_fixed,
    source="https://docs.jax.dev/en/latest/random-numbers.html",
)


def stream_pytorch() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(3)


def stream_jax() -> Array:
    return jax.random.normal(jax.random.key(0), 3)


def stream_pytorch_fixed() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(3))


def stream_jax_fixed() -> Array:
    with jax.enable_x64(True):
        return jnp.array(np.random.default_rng(0).standard_normal(3))


STREAMS_NOT_COMPARABLE = Trap(
    id="streams-not-comparable",
    statement="The same seed gives other numbers in each framework.",
    severity="silent wrong result",
    symptoms="cannot reproduce with the same seed, initial weights differ, different init",
    pytorch=stream_pytorch,
    pytorch_gives=[1.5409961, -0.2934289, -2.1787894],
    jax=stream_jax,
    jax_gives=[1.6226422, 2.0252647, -0.4335944],
    fix="Draw once, in NumPy, and hand the array to both.",
    pytorch_fixed=stream_pytorch_fixed,
    jax_fixed=stream_jax_fixed,
    source="jax-ml/jax#13346; jax-ml/jax#30212",
)


def length_pytorch() -> Any:
    torch.manual_seed(0)
    short = torch.randn(15)
    torch.manual_seed(0)
    return bool((short == torch.randn(16)[:15]).all())


def length_jax() -> Any:
    key = jax.random.key(0)
    return bool((jax.random.normal(key, 15) == jax.random.normal(key, 16)[:15]).all())


def length_pytorch_fixed() -> Any:
    torch.manual_seed(0)
    short = torch.stack([torch.randn(()) for _ in range(15)])
    torch.manual_seed(0)
    return bool((short == torch.stack([torch.randn(()) for _ in range(16)])[:15]).all())


RANDN_CHANGES_WITH_LENGTH = Trap(
    id="randn-changes-with-length",
    statement="In PyTorch on the CPU the first numbers of randn differ between length 15 and 16, "
    "where another algorithm begins; JAX's are a prefix (are the first 15 equal?).",
    severity="silent wrong result",
    symptoms="results change with batch size, seed not reproducible for other shape, 16 elements",
    pytorch=length_pytorch,
    pytorch_gives=False,
    jax=length_jax,
    jax_gives=True,
    fix="Draw element by element, or always the largest shape, and cut.",
    pytorch_fixed=length_pytorch_fixed,
    source="jax-ml/jax#13346",
)


def width_pytorch() -> Any:
    torch.manual_seed(0)
    narrow = torch.rand(3)
    torch.manual_seed(0)
    return bool(torch.allclose(narrow.double(), torch.rand(3, dtype=torch.float64), atol=1e-3))


def width_jax() -> Any:
    key = jax.random.key(0)
    narrow = jax.random.uniform(key, 3)
    with jax.enable_x64(True):
        return bool(jnp.allclose(narrow, jax.random.uniform(key, 3, jnp.float64), atol=1e-3))


def width_pytorch_fixed() -> Any:
    torch.manual_seed(0)
    wide = torch.rand(3, dtype=torch.float64)
    return bool(torch.allclose(wide.float().double(), wide, atol=1e-3))


def width_jax_fixed() -> Any:
    with jax.enable_x64(True):
        wide = jax.random.uniform(jax.random.key(0), 3, jnp.float64)
        return bool(jnp.allclose(wide.astype(jnp.float32), wide, atol=1e-3))


DTYPE_CHANGES_THE_STREAM = Trap(
    id="dtype-changes-the-stream",
    statement="The same seed gives other numbers in float64 than in float32, in both: a run in "
    "double precision is another run (are they equal to three digits?).",
    severity="silent wrong result",
    symptoms="float64 debugging run does not reproduce, x64 changes results, precision study",
    pytorch=width_pytorch,
    pytorch_gives=False,
    jax=width_jax,
    jax_gives=False,
    shared=True,
    fix="Draw in one precision and cast.",
    pytorch_fixed=width_pytorch_fixed,
    jax_fixed=width_jax_fixed,
    source="jax-ml/jax#30212",
)


def baked_pytorch() -> Any:
    def noisy(x: Tensor) -> Tensor:
        return x + np.random.rand()

    x = torch.zeros(())
    return bool(noisy(x) == noisy(x))


def baked_jax() -> Any:
    @jax.jit
    def noisy(x: Array) -> Array:
        return x + np.random.rand()

    x = jnp.zeros(())
    return bool(noisy(x) == noisy(x))


def baked_jax_fixed() -> Any:
    @jax.jit
    def noisy(x: Array, key: Array) -> Array:
        return x + jax.random.uniform(key)

    x, (one, two) = jnp.zeros(()), jax.random.split(jax.random.key(0))
    return bool(noisy(x, one) == noisy(x, two))


HOST_NUMBER_BAKED_IN = Trap(
    id="host-number-baked-in",
    statement="np.random, random or the clock inside a jitted function runs once, while tracing, "
    "and is a constant from then on (are two calls equal?).",
    severity="silent wrong result",
    symptoms="noise never changes, augmentation constant, timestamp frozen, np.random in jit",
    pytorch=baked_pytorch,
    pytorch_gives=False,
    jax=baked_jax,
    jax_gives=True,
    fix="Pass a key, or the number, as an argument.",
    jax_fixed=baked_jax_fixed,
    source="https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def seed_pytorch() -> Any:
    one = torch.rand(3, generator=torch.Generator().manual_seed(1))
    two = torch.rand(3, generator=torch.Generator().manual_seed(2**32 + 1))
    return bool((one == two).all())


def seed_jax() -> Any:
    one = jax.random.uniform(jax.random.key(1), 3)
    two = jax.random.uniform(jax.random.key(np.int64(2**32 + 1)), 3)
    return bool((one == two).all())


def seed_pytorch_fixed() -> Any:
    seeds = (hash_to_32_bits(seed) for seed in (1, 2**32 + 1))
    one, two = (torch.rand(3, generator=torch.Generator().manual_seed(s)) for s in seeds)
    return bool((one == two).all())


def seed_jax_fixed() -> Any:
    seeds = (hash_to_32_bits(seed) for seed in (1, 2**32 + 1))
    one, two = (jax.random.uniform(jax.random.key(s), 3) for s in seeds)
    return bool((one == two).all())


def hash_to_32_bits(seed: int) -> int:
    """A seed from all bits of a number."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


SEED_32_BIT = Trap(
    id="seed-32-bit",
    statement="Seeds are cut to 32 bits in both on the CPU: 1 and 2^32 + 1 give the same stream.",
    severity="silent wrong result",
    symptoms="two runs with different seeds are identical, timestamp as seed, hash as seed",
    pytorch=seed_pytorch,
    pytorch_gives=True,
    jax=seed_jax,
    jax_gives=True,
    shared=True,
    fix="Hash a large seed to 32 bits yourself.",
    pytorch_fixed=seed_pytorch_fixed,
    jax_fixed=seed_jax_fixed,
    source="jax-ml/jax#27282; jax-ml/jax#4745",
)


def checkpoint_pytorch() -> Any:
    return torch.get_rng_state().numpy().dtype


def checkpoint_jax() -> Any:
    return np.asarray(jax.random.key(0)).dtype


def checkpoint_pytorch_fixed() -> Any:
    state = torch.get_rng_state().numpy()
    expected = torch.rand(3)
    torch.set_rng_state(torch.from_numpy(state))
    return bool((torch.rand(3) == expected).all())


def checkpoint_jax_fixed() -> Any:
    key = jax.random.key(0)
    expected = jax.random.uniform(key, 3)
    stored = np.asarray(jax.random.key_data(key))
    restored = jax.random.wrap_key_data(jnp.array(stored))
    return bool((jax.random.uniform(restored, 3) == expected).all())


KEY_IS_NOT_AN_ARRAY = Trap(
    id="key-is-not-an-array",
    statement="PyTorch's generator state is a plain tensor of bytes; a JAX key cannot become a "
    "NumPy array, and a checkpoint that holds one cannot be saved.",
    severity="error",
    symptoms="JAX array with PRNGKey dtype cannot be converted to a NumPy array, save key",
    pytorch=checkpoint_pytorch,
    pytorch_gives="uint8",
    jax=checkpoint_jax,
    jax_gives=Raises("TypeError", "key_data"),
    fix="jax.random.key_data and wrap_key_data (does the restored stream go on equally?).",
    pytorch_fixed=checkpoint_pytorch_fixed,
    jax_fixed=checkpoint_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.random.key_data.html",
)
