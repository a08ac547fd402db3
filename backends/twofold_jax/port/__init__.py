"""What the sides of JAX share in the judge of ports: tracing, float64, uses, operations, steps."""
