"""The PyTorch backend: describes itself here without importing torch."""

from twofold.backends import Backend, EngineDescription

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
)
