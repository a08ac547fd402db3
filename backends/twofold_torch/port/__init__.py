"""PyTorch models as sides of a pair."""
