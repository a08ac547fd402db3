"""Places where PyTorch and JAX look alike and compute different things, each as code that runs.

python -m comparisons.traps                             list them
python -m comparisons.traps --theme optimizers          those of one theme
python -m comparisons.traps --search "nan gradient"     find one by what went wrong
python -m comparisons.traps gelu-tanh-default           run one and show both sides
python -m comparisons.traps --page comparisons/TRAPS.md write them all as a page
"""
