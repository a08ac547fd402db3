"""The command line: runs it, and turns errors into one message and an exit code.

What it runs is imported within: an interruption while Python still imports ends a command as it
does later, with a word and its exit code.
"""

from __future__ import annotations

from twofold.commands import run_command


def main() -> None:
    """Run the command line; exits with 0, 1, 2, 3, or 130 when interrupted."""
    run_command(_main)


def _main() -> int:
    from twofold.cli.app import app

    app()
    return 0  # typer exits by itself


if __name__ == "__main__":
    main()
