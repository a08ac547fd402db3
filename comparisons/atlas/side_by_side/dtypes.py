"""dtypes: which ones come by default, and what becomes of float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import torch

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

# float64, as files and NumPy give it
MEASURED = np.array([0.1, 0.2])


def with_pytorch() -> Values:
    return {
        "a list of floats": str(torch.tensor([1.0]).dtype)[6:],
        "a list of ints": str(torch.tensor([1]).dtype)[6:],
        "zeros": str(torch.zeros(2).dtype)[6:],
        "an array of float64": str(
            torch.from_numpy(MEASURED).dtype
        )[6:],
        "float32 asked for": str(
            torch.tensor(MEASURED, dtype=torch.float32).dtype
        )[6:],
        "float64 asked for": str(
            torch.zeros(2, dtype=torch.float64).dtype
        )[6:],
        "int + float32": str(
            (torch.tensor([1]) + torch.tensor([1.0])).dtype
        )[6:],
        "bytes of 1000 float32": torch.zeros(1000).nbytes,
        "bytes of 1000 float64": torch.zeros(
            1000, dtype=torch.float64
        ).nbytes,
    }


def with_jax() -> Values:
    with jax.enable_x64(True):
        asked = jnp.zeros(2, dtype=jnp.float64)
        big = jnp.zeros(1000, dtype=jnp.float64)
    return {
        "a list of floats": str(jnp.array([1.0]).dtype),
        "a list of ints": str(jnp.array([1]).dtype),
        "zeros": str(jnp.zeros(2).dtype),
        "an array of float64": str(jnp.asarray(MEASURED).dtype),
        "float32 asked for": str(
            jnp.array(MEASURED, dtype=jnp.float32).dtype
        ),
        "float64 asked for": str(asked.dtype),
        "int + float32": str(
            (jnp.array([1]) + jnp.array([1.0])).dtype
        ),
        "bytes of 1000 float32": jnp.zeros(1000).nbytes,
        "bytes of 1000 float64": big.nbytes,
    }


def with_numpy() -> Values:
    return {
        "a list of floats": str(np.array([1.0]).dtype),
        "a list of ints": str(np.array([1]).dtype),
        "zeros": str(np.zeros(2).dtype),
        "an array of float64": str(MEASURED.dtype),
        "float32 asked for": str(
            MEASURED.astype(np.float32).dtype
        ),
        "float64 asked for": str(np.zeros(2).dtype),
        "int + float32": str(
            (np.array([1]) + np.array([1.0], np.float32)).dtype
        ),
        "bytes of 1000 float32": np.zeros(
            1000, np.float32
        ).nbytes,
        "bytes of 1000 float64": np.zeros(1000).nbytes,
    }


TOPIC = Topic(
    title="dtypes",
    about="""Both libraries make float32 where NumPy makes float64: twice the numbers in the same
    memory, and the type that accelerators are built for. The difference is what happens to
    float64 that arrives from outside: PyTorch keeps it, and then refuses to mix it with a float32
    layer; JAX has no float64 at all until `jax_enable_x64` is set, and makes it float32 without a
    word. Integers follow suit: int64 in PyTorch and NumPy, int32 in JAX.""",
    pytorch=with_pytorch,
    jax=with_jax,
    numpy=with_numpy,
    different={
        "a list of floats": Different(
            "float32 is the default of both",
            "float32",
            "float32",
            "float64",
        ),
        "zeros": Different(
            "float32 is the default of both",
            "float32",
            "float32",
            "float64",
        ),
        "a list of ints": Different(
            "JAX has 32 bits without x64",
            "int64",
            "int32",
            "int64",
        ),
        "an array of float64": Different(
            "JAX narrows it without a word unless x64 is enabled",
            "float64",
            "float32",
            "float64",
        ),
        "int + float32": Different(
            "NumPy goes to the type that holds both",
            "float32",
            "float32",
            "float64",
        ),
    },
)

if __name__ == "__main__":
    show(TOPIC)
