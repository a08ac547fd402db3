"""The guide: a pure function of stored results. Nothing here imports a backend."""
