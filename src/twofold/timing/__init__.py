"""Timing: one process for each engine, interleaved rounds, intervals, and an honest outcome."""
