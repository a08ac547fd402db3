"""Judge anyone's models: is this port the same function, and if not, where does it part?

    from twofold import port
    report = port.certify(torch_module, nnx_model, (x,), layouts={0: "NCHW->NHWC"})

Names load on first use; no framework is imported before a side of it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from twofold.port import sides

if TYPE_CHECKING:
    from twofold.port.decoding import token_by_token
    from twofold.port.pair import Pair, assert_same, certify
    from twofold.port.report import PortReport
    from twofold.port.side import Side
    from twofold.port.sides import step as Step

    __all__ = [
        "Pair",
        "PortReport",
        "Side",
        "Step",
        "assert_same",
        "certify",
        "token_by_token",
    ]

_OWN: Final = {
    "Pair": "twofold.port.pair:Pair",
    "PortReport": "twofold.port.report:PortReport",
    "Side": "twofold.port.side:Side",
    "Step": "twofold.port.sides:step",
    "assert_same": "twofold.port.pair:assert_same",
    "certify": "twofold.port.pair:certify",
    "token_by_token": "twofold.port.decoding:token_by_token",
}


def _all() -> list[str]:
    """The public names: those above, and sides such as `Torch`, which each backend describes."""
    return [*_OWN, *sides.names()]


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return _all()  # made when it is asked for: backends are not looked at before
    if name in sides.names():
        value = sides.load(name)
    elif name in _OWN:
        module, attribute = _OWN[name].split(":")
        value = getattr(importlib.import_module(module), attribute)
    else:
        raise AttributeError(f"module 'twofold.port' has no attribute {name!r}; it has {_all()}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_all()])
