"""Advice: a small cost model of each engine, fitted on this machine, that says what to use."""
