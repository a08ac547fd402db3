"""The evidence that the instruments are to be trusted: what they miss, and accuse wrongly."""
