"""One readable script for each question; run them as modules from the repository's root."""
