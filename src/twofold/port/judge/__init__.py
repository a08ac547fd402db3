"""The ladder of a pair: rungs in order, each asked in float64 and measured by twins."""
