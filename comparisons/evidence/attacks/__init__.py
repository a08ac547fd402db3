"""Attacks on everything that reads what a person brings: specs, tables, results, checkpoints.

Every case is drawn from a seed and a number, runs in a child process under a watchdog, and may end
in one of two ways: it is accepted, or one of Twofold's own errors says why not. All else fails the
run: an error of another kind, a crash, a hang, a message that echoes its input, too much memory.
"""
