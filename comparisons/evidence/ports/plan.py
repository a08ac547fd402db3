"""What is changed in a side: settings by the path of the module that reads them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, final


@final
class Plan:
    """Settings such as {"blocks.0.ln1.eps": 1e-6}; `*` and `?` stand for any text
    and for any one character.

    Every module asks for its settings with the value that is right as default.
    """

    def __init__(
        self, values: Mapping[str, Any], prefix: str = "", read: set[str] | None = None
    ) -> None:
        self._values = values
        self._prefix = prefix
        self._read: set[str] = set() if read is None else read

    def at(self, name: object) -> Plan:
        """The settings of a module below."""
        return Plan(self._values, f"{self._prefix}{name}.", self._read)

    def get(self, name: str, default: Any) -> Any:
        """One setting of this module."""
        path = self._prefix + name
        for key, value in self._values.items():
            if key == path or fnmatchcase(path, key):
                self._read.add(key)
                return value
        return default

    @property
    def read(self) -> frozenset[str]:
        """The settings that some module has asked for."""
        return frozenset(self._read)
