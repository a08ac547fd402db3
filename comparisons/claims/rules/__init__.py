"""Rules: from what studies found to a verdict. Pure functions, tested with hand-made findings."""
