"""Loops that are no engines: hand-written ones and other libraries', timed in the same harness."""
