"""Every stored machine side by side: which conclusions hold on all of them, and which flip.

    python -m comparisons.machines [--results FOLDER] [--page FILE]

`stored` reads the machines' folders, `orders` says what holds and what flips, `targets` does so for
the speed targets, `gaps` says what cannot be compared, `page` writes it all down. Nothing is
measured here.
"""
