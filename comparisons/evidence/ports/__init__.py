"""Five architectures with correct ports, and mistakes to plant in either side of them.

`python -m comparisons.ports_judged` asks the judge of ports about all of them. The mistakes were
written down by somebody who had not read how the judge looks for causes.
"""
