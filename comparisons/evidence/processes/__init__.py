"""What several processes that share a training are put through."""
