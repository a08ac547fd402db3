"""Losses: reductions, weights, labels and shapes."""
