"""The PyTorch backend: describes itself here without importing torch."""

from twofold.backends.departures import KnownDifference, LongerNorm
from twofold.backends.description import (
    Backend,
    CacheVariables,
    EngineDescription,
    ExportFormat,
    NativeInit,
    PortSide,
    RefusedLayer,
)
from twofold.spec.layers.batch_norm import BatchNorm

BACKEND = Backend(
    name="torch",
    title="PyTorch",
    extra="torch",
    frameworks=("torch",),
    packages=("torch",),
    place=0,
    engines=(
        EngineDescription(
            "eager", "PyTorch as it runs by default: one kernel for each operation", from_map=True
        ),
        EngineDescription(
            "lesson", "the lesson's loop: a DataLoader over a TensorDataset, eager", from_map=True
        ),
        EngineDescription(
            "eager-fused", "eager, with the optimizer's update as one kernel", from_map=True
        ),
        EngineDescription(
            "compile", "model = torch.compile(model); the optimizer stays eager", from_map=True
        ),
        EngineDescription("compile-step", "the whole step as one graph that steps by itself"),
        EngineDescription("compile-epoch", "two whole steps in one graph"),
        EngineDescription(
            "ddp",
            "DistributedDataParallel: processes share each batch",
            processes=True,
            shares=True,
            refused_layers=(
                RefusedLayer(
                    BatchNorm,
                    "model: batch_norm given; torch:ddp allows none: each process would normalize "
                    "by its own rows, another function than that of one process, and "
                    "nn.SyncBatchNorm runs on GPUs only (PyTorch 2.13, "
                    "torch/nn/modules/batchnorm.py); use layer_norm, or flax:sharded",
                ),
            ),
        ),
        EngineDescription("cuda-graph", "the whole step, captured and replayed", "cuda"),
        EngineDescription("reduce-overhead", "compile-step, replayed as a CUDA graph", "cuda"),
        EngineDescription("max-autotune", "compile-step, kernels chosen by measuring", "cuda"),
    ),
    opener="twofold_torch.engines:open_executor",
    prober="twofold_torch.device:probe",
    native_init=NativeInit("pytorch", "pytorch"),
    seeds="twofold_torch.seeds:TorchSeeds",
    chooser="twofold_torch.default_engine:default_engine",
    exports=(
        ExportFormat(
            "torch-export",
            ".pt2",
            writer="twofold_torch.export:write_program",
            reader="twofold_torch.export:read_program",
        ),
        ExportFormat(
            "onnx",
            ".onnx",
            writer="twofold_torch.export:write_onnx",
            reader="twofold_torch.export:read_onnx",
            modules=("onnx", "onnxscript", "onnxruntime"),
            precisions=("float32",),
        ),
    ),
    port_sides=(PortSide("Torch", "twofold_torch.port.model:Torch", "torch.nn"),),
    port_steps="twofold_torch.port.black_box:black_box",
    port_tensors=("torch",),
    cache_variables=CacheVariables(
        "TORCHINDUCTOR_CACHE_DIR",
        by_default=True,
        elsewhere=("TORCHINDUCTOR_FX_GRAPH_REMOTE_CACHE",),
    ),
    quick_engines=(("eager-fused", "eager"), ("compile-step", "compile")),
    best_engines=("compile-step", "compile-epoch"),
    palette=("#D55E00", "#E69F00", "#A6761D", "#8C2D04"),
    known_differences=(
        KnownDifference(
            departure=LongerNorm(1e-6),
            cause=(
                "PyTorch clips gradients by clip_norm / (norm + 1e-6), Optax and the formula by "
                "clip_norm / norm"
            ),
            source="torch 2.13.0, torch/nn/utils/clip_grad.py: clip_grads_with_norm_",
            consequence=(
                "clipped gradients are a little shorter than clip_norm; it matters only where "
                "clip_norm is near 1e-6"
            ),
        ),
    ),
)
