"""Gradients: kinks, ties, NaN and what counts as a parameter."""
