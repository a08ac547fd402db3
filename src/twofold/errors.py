"""Every error that Twofold raises on purpose.

    TwofoldError                    exit code
    ├── BadInput                    2   the person can mend it: the message says how
    │   ├── SpecError                   a field of an experiment
    │   ├── DataError                   the data an experiment names
    │   ├── UnknownEngine               an engine or backend that does not exist
    │   ├── FrameworkMissing            a backend whose framework is not installed
    │   ├── DeviceUnavailable       3   a device this machine or framework does not have
    │   ├── CompilerMissing         3   a compiler that an engine needs
    │   ├── ResultError                 a stored result that cannot be read
    │   └── NothingShown                an experiment that cannot show parity
    ├── ParityDiverges              1   two things that should compute the same do not
    ├── SideFailed                  3   a model of a pair raised an error when it was called
    └── EngineFailed                3   an engine broke while it ran

Messages name the field or tensor, what was given, what is allowed and what to do.
"""

from __future__ import annotations


class TwofoldError(Exception):
    """Root of the tree; `exit_code` is what the command line answers with."""

    exit_code = 1


class BadInput(TwofoldError):
    """What was given cannot be used: the person can mend it, and the message says how."""

    exit_code = 2


class SpecError(BadInput):
    """A field of an experiment is wrong, missing or unknown."""


class DataError(BadInput):
    """The data cannot be read, or does not fit the experiment."""


class UnknownEngine(BadInput):
    """No engine or backend has that name."""


class FrameworkMissing(BadInput):
    """The backend's framework is not installed; the message has the command that installs it."""


class DeviceUnavailable(BadInput):
    """The device does not exist here, or the framework cannot use it."""

    exit_code = 3


class CompilerMissing(BadInput):
    """An engine has to compile, and there is no compiler; the message names the next best one."""

    exit_code = 3


class ResultError(BadInput):
    """A stored result cannot be read, or has another schema."""


class NothingShown(BadInput):
    """Parity was judged and neither shown nor refuted: the experiment does not allow it."""


class ParityDiverges(TwofoldError):
    """An engine does not compute what the oracle says."""

    exit_code = 1


class SideFailed(TwofoldError):
    """A model of a pair raised an error when it was called; the message has the place."""

    exit_code = 3


class EngineFailed(TwofoldError):
    """An engine raised an error while it ran."""

    exit_code = 3
