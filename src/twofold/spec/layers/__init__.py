"""The kinds of layers that a model is made of, one file a kind.

Such a file says all that the core knows of its kind: fields, parameters and buffers, initial
values, work, and what becomes of it when features are relabelled. `twofold.parity.oracle.layers`
holds its forward and backward pass with bounds, and each backend has one entry for it.
"""
