"""JAX and Flax models as sides of a pair."""
