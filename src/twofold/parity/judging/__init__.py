"""Judging: comparing arrays with their bounds, and the verdict that follows."""
