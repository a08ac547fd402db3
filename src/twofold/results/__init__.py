"""Results on disk: written whole, read with a check, and the machine they are of."""
