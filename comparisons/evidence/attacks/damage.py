"""Ways to damage bytes, texts and values, drawn at random."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any, Final

ODD_BYTES: Final = b"\x00\xff\xfe\x80\r\n\t \"'\\[]{}=.,;#$%&+-_0123456789eEinfNaN\xef\xbb\xbf"
ODD_TEXTS: Final = (
    *("", " ", "\0", "\n", "\r\n", "\t", '"', "'", "\\", "../..", "/dev/zero", "~", "%s", "{}"),
    *("nan", "inf", "-0", "1e999", "0x", "None", "NA", "true", "é", "\u202e", "\U0001f600"),
    *("a" * 61, "a" * 5000, "[" * 500, "a." * 50, "\ufeff", "123456789" * 50, "١٢٣"),
)
ODD_NUMBERS: Final = (
    *(0, -1, 1, 2, 63, 64, 65, 255, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63)),
    *(10**30, 10**400, 0.0, -0.0, 0.5, 1.0, -1.5, 1e-320, 5e-324, 1e308, float("inf")),
    *(float("-inf"), float("nan")),
)


def of_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bytes with one to ten damages: flipped, cut, doubled, moved, put in, taken out."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 10))):
        _damage(rng, changed)
    return bytes(changed)


def _damage(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    length = min(len(data) - at, int(2 ** rng.uniform(0, 10)))
    match rng.randrange(7):
        case 0:
            if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
        case 1:
            if at < len(data):
                data[at] = rng.choice(ODD_BYTES)
        case 2:
            del data[at:]
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = bytes(data[at : at + length]) * rng.choice((1, 2, 10))
        case 5:
            data[at:at] = rng.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
        case 6:
            data[at : at + length] = rng.randbytes(length)


def value(rng: random.Random, depth: int = 0) -> Any:
    """Any value: a number, a text, a truth value, or lists and tables of them."""
    draw = rng.random()
    if draw < 0.35:
        return rng.choice(ODD_NUMBERS)
    if draw < 0.65:
        return rng.choice(ODD_TEXTS)
    if draw < 0.75:
        return rng.random() < 0.5
    if draw < 0.85 or depth > 3:
        return word(rng)
    if draw < 0.93:
        return [value(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 3, 70)))]
    return {word(rng): value(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 5)))}


def word(rng: random.Random) -> str:
    """A short name."""
    return "".join(rng.choices(string.ascii_lowercase + "_-", k=rng.randrange(1, 9)))


def of_values(
    rng: random.Random, values: Any, draw: Callable[[random.Random], Any] = value
) -> None:
    """Change, remove or add something at a random place within tables and lists, in place."""
    here: Any = values
    while True:
        keys: list[Any] = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            if isinstance(here, dict):
                here[word(rng)] = draw(rng)
            else:
                here.append(draw(rng))
            return
        key = rng.choice(keys)
        if isinstance(here[key], dict | list) and rng.random() < 0.8:
            here = here[key]
            continue
        match rng.randrange(4):
            case 0:
                del here[key]
            case 1 if isinstance(here, dict):
                here[word(rng)] = draw(rng)
            case 2 if isinstance(here, list):
                here.insert(key, draw(rng))
            case _:
                here[key] = draw(rng)
        return
