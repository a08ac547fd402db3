"""What each kind of layer does, forward and backward, with bounds: one file a kind."""
