"""The diagnosis of a rung that diverges: causes, tried on the oracle."""
