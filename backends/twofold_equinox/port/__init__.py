"""Equinox models as a side of a pair."""
