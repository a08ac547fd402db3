r"""Text from results as Markdown that shows it and does nothing else.

The pages escape at one place: all texts of a result are escaped before any finding is drawn from
it (`escaped`). So a sentence or a table of findings holds safe text only, whoever writes it.
Source of the rules: CommonMark 0.31.2, section 2.4 (a backslash before ASCII punctuation), and the
GFM specification's tables, strikethrough and autolinks.
"""

from __future__ import annotations

import re
from typing import Any, Final

from twofold.results.stored import printable

SPECIAL: Final = re.compile(
    r"[\\`*\[\]<|~&$]"
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # within a word it is no emphasis
    r"|!(?=\[)"
    r"|(?<=:)/(?=/)|(?<=www)\."  # GitHub makes links of bare addresses
)
AT_THE_START: Final = re.compile(r"^(?:[#>=]|[-:+](?![A-Za-z0-9])|\d{1,9}(?=[.)](?:\s|$)))")
"""What begins a heading, a quotation, a list or the line under a heading."""


def escape(text: str) -> str:
    """One line of Markdown that shows the text: no link, image, heading, code or table of it."""
    line = SPECIAL.sub(lambda match: "\\" + match[0], printable(text))
    return AT_THE_START.sub(_shielded, line, count=1)


def _shielded(match: re.Match[str]) -> str:
    return match[0] + "\\" if match[0].isdigit() else "\\" + match[0]


def escaped(value: Any) -> Any:
    """A value in JSON's types with every text in it escaped, the names of its fields as well.

    Names that code looks up (letters, digits, `_`, `:`, `-`, spaces) stay what they are.
    """
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {escape(key): escaped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [escaped(item) for item in value]
    return value
