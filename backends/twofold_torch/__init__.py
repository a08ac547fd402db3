"""The PyTorch backend: describes itself here without importing torch."""

from twofold.backends import Backend, EngineDescription, KnownDifference

BACKEND = Backend(
    name="torch",
    extra="torch",
    frameworks=("torch",),
    engines=(
        EngineDescription("eager", "PyTorch as it runs by default: one kernel for each operation"),
        EngineDescription("compile", "model = torch.compile(model); the optimizer stays eager"),
    ),
    opener="twofold_torch.engines:open_executor",
    prober="twofold_torch.device:probe",
    known_differences=(
        KnownDifference(
            model="clipping by the norm plus 1e-6",
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
