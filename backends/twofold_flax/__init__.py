"""The Flax/Optax backend: describes itself here without importing jax."""

from twofold.backends import Backend, EngineDescription

BACKEND = Backend(
    name="flax",
    extra="flax",
    frameworks=("jax", "flax", "optax"),
    engines=(
        EngineDescription("op-by-op", "no jit: every operation is dispatched on its own"),
        EngineDescription("jit", "the whole step as one pure function under jax.jit"),
    ),
    opener="twofold_flax.engines:open_executor",
    prober="twofold_flax.device:probe",
)
