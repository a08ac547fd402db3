"""Ports that this project did not write, judged through the public names of `twofold.port` only.

    python -m comparisons.ports [layers] [optimizers] [models] [--only TEXT]
    python -m comparisons.ports --table

Layers and rules of the libraries one by one, with the same arguments and with each library's own
defaults; and the Flax models of Transformers against their PyTorch originals, which need an
environment of their own (`comparisons/ports-constraints.txt`). `comparisons/PORTS.md` is written
from what is stored.
"""
