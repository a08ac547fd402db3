"""The installed backends as they describe themselves; no framework is loaded for that."""
