"""Layers: weights, initial values, padding, statistics, masks."""
