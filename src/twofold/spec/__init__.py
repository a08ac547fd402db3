"""The spec: an experiment as a value, read from TOML, with messages for every wrong field."""
