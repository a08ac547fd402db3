"""Seeded porting bugs, each of which the ladder must catch.

    python -m comparisons.mutants [--only TEXT] [--hosts torch,flax]

A mutant is a small patch of a backend, written once for both frameworks. The bugs stand in the
modules whose names end in `_bugs`; `hosts` has the seams where a backend is patched.
"""
