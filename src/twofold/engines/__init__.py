"""Engines: sessions that run a problem, and the backends that supply them."""
