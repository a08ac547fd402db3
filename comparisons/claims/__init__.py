"""What people say about the frameworks, each sentence with an experiment and a measured verdict.

    python -m comparisons.claims                         the verdicts, in the terminal
    python -m comparisons.claims --measure               run the experiments (about 8 minutes)
    python -m comparisons.claims --page comparisons/CLAIMS.md

An experiment is a *study*: it measures, and writes what it found to a result file. A verdict is a
pure function of what the studies found; none is written down anywhere.
"""
