"""The state of a model: names, order and where it lives."""
