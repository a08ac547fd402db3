"""The evidence that the instruments are to be trusted."""
