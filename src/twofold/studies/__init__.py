"""Studies: divergence, outcome, sweep and advice, each made of many measurements."""
