"""Judge anyone's models: is this port the same function, and if not, where does it part?"""
