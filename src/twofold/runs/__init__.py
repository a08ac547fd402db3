"""A training on disk: its folder, its metrics, its checkpoints, and the model that comes out."""
