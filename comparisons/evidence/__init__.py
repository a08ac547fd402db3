"""Evidence on the judges themselves: what they miss and what they accuse wrongly."""
