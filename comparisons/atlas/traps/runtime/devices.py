"""On which device and threads work is done, and whose memory it uses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap

NOT_VERIFIED = "the documentation only: no GPU was at hand"


TWO_CPUS = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}


def placed_pytorch() -> Tensor:
    here, there = torch.ones(2), torch.ones(2, device="meta")
    return here + there


def placed_jax() -> Array:
    here, there = jnp.ones(2), jax.device_put(jnp.ones(2), jax.devices()[1])
    return here + there


def placed_pytorch_fixed() -> Tensor:
    here = torch.ones(2)
    there = torch.ones(2, device=here.device)
    return here + there


UNCOMMITTED_ARRAY_MOVES = Trap(
    id="uncommitted-array-moves",
    statement="Operands on two devices always raise in PyTorch; JAX moves one that was never put "
    "anywhere without a word.",
    severity="silent wrong result",
    symptoms="computation on wrong device, unexpected transfer, slow first GPU only, device_put",
    pytorch=placed_pytorch,
    pytorch_gives=Raises("RuntimeError", "device"),
    jax=placed_jax,
    jax_gives=[2.0, 2.0],
    fix="Put every operand where it belongs.",
    pytorch_fixed=placed_pytorch_fixed,
    source="https://docs.jax.dev/en/latest/faq.html",
    environment=TWO_CPUS,
)


def committed_jax() -> Array:
    first, second = jax.devices()
    return jax.device_put(jnp.ones(2), first) + jax.device_put(jnp.ones(2), second)


def committed_jax_fixed() -> Array:
    first, _ = jax.devices()
    return jax.device_put(jnp.ones(2), first) + jax.device_put(jnp.ones(2), first)


COMMITTED_TO_TWO_DEVICES = Trap(
    id="committed-to-two-devices",
    statement="Arrays that were put on two devices raise in JAX as in PyTorch, with another class "
    "of error: a handler for the one does not catch the other.",
    severity="error",
    symptoms="Received incompatible devices for jitted computation, Expected all tensors same "
    "device",
    pytorch=placed_pytorch,
    pytorch_gives=Raises("RuntimeError", "device"),
    jax=committed_jax,
    jax_gives=Raises("ValueError", "devices"),
    fix="Put both on one device.",
    pytorch_fixed=placed_pytorch_fixed,
    jax_fixed=committed_jax_fixed,
    source="https://docs.jax.dev/en/latest/faq.html",
    environment=TWO_CPUS,
)


def xla_threads() -> int:
    """Threads of XLA's pool for one operation, counted by name (Linux)."""
    jnp.ones(10).block_until_ready()
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("tf_XLAEigen")


def threads_pytorch() -> Any:
    cores = len(os.sched_getaffinity(0))
    # Set here as well: with OMP_NUM_THREADS alone, MKL may cut the number down to the cores.
    torch.set_num_threads(cores + 1)
    return torch.get_num_threads() == cores


def threads_jax() -> Any:
    return xla_threads() == len(os.sched_getaffinity(0))


def threads_pytorch_fixed() -> Any:
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    return torch.get_num_threads() == cores


CPU_THREADS = Trap(
    id="cpu-threads",
    statement="OMP_NUM_THREADS and torch.set_num_threads govern PyTorch only; XLA takes one "
    "thread for each core the process may use (as many threads as cores?).",
    severity="slow",
    symptoms="unfair benchmark, too many threads, oversubscription, single thread, container",
    pytorch=threads_pytorch,
    pytorch_gives=False,
    jax=threads_jax,
    jax_gives=True,
    fix="Limit the process (taskset), and set PyTorch's threads to the cores it may use.",
    pytorch_fixed=threads_pytorch_fixed,
    source="jax-ml/jax#743; jax-ml/jax#1539; jax-ml/jax#27028",
    # One more than the machine has cores: another number than XLA's on one core, too.
    environment={"OMP_NUM_THREADS": str((os.cpu_count() or 1) + 1), "JAX_PLATFORMS": "cpu"},
)


def memory_taken(script: str, environment: Mapping[str, str]) -> bool:
    """Whether a script takes more than a third of the GPU's free memory, in its own process."""
    measured = (
        f"import torch\nbefore, _ = torch.cuda.mem_get_info()\n{script}\n"
        "after, _ = torch.cuda.mem_get_info()\nprint(before - after > before / 3)"
    )
    process = subprocess.run(
        [sys.executable, "-c", measured],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.split()[-1] == "True"


def memory_pytorch() -> Any:
    return memory_taken("torch.ones(1, device='cuda')", {})


def memory_jax() -> Any:
    return memory_taken("import jax\njax.numpy.ones(1).block_until_ready()", {})


def memory_jax_fixed() -> Any:
    script = "import jax\njax.numpy.ones(1).block_until_ready()"
    return memory_taken(script, {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"})


GPU_MEMORY_PREALLOCATION = Trap(
    id="gpu-memory-preallocation",
    statement="JAX takes 75 percent of a GPU's memory at first use; PyTorch takes what it needs, "
    "and finds none left in the same process (is more than a third of it taken?).",
    severity="error",
    symptoms="CUDA out of memory, RESOURCE_EXHAUSTED, torch and jax on one GPU",
    pytorch=memory_pytorch,
    pytorch_gives=False,
    jax=memory_jax,
    jax_gives=True,
    fix="XLA_PYTHON_CLIENT_PREALLOCATE=false, or XLA_PYTHON_CLIENT_MEM_FRACTION, before the "
    "import.",
    jax_fixed=memory_jax_fixed,
    source="jax-ml/jax#19267; https://docs.jax.dev/en/latest/gpu_memory_allocation.html",
    needs="cuda",
    verified=NOT_VERIFIED,
)
