"""The problem: an experiment with its data, draws and states, all in NumPy."""
