"""`python -m twofold`: the command line, where the script `twofold` is not on the path."""

from twofold.cli.main import main

if __name__ == "__main__":
    main()
