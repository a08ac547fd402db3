"""Random numbers: keys, seeds and streams."""
