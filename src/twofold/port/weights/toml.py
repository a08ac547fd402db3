"""A mapping as TOML: grouped by the original's modules, one line for each piece.

    [weights."blocks.0.attn"]  # torch.nn.MultiheadAttention
    "in_proj_weight[0:64]" = { port = "att.q.kernel", axes = "(heads dim=16) in -> in heads dim" }

The text before `=` and `port` name tensors or parts of them as NumPy does. Without `axes` nothing
moves. Two entries of one `port` are added if they say `merged = true`, else they are tied and must
hold the same numbers; several ports of one entry stand in a list.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from twofold.errors import BadInput
from twofold.files import write_text
from twofold.port.weights import axes as axes_text
from twofold.port.weights import pieces as pieces_text
from twofold.port.weights.axes import Axes, Axis
from twofold.port.weights.links import Move
from twofold.port.weights.pieces import Piece
from twofold.port.weights.weights import Inventory, Weights

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
FORMAT: Final = "twofold.port.weights/1"
_HEAD: Final = """\
# Which tensor of the original (left) is which of the port (right).
# name[0:64] is a part, as NumPy writes it. axes = "out in -> in out" says how dimensions move,
# as einops writes it; -h is an axis in reversed order, 0/3 one index of three that are interleaved.
"""


# Writing


def save(weights: Weights, path: str | os.PathLike[str]) -> Path:
    """Write a mapping, whole or not at all. Raises ResultError."""
    target = Path(path)
    write_text(target, dump(weights))
    return target


def dump(weights: Weights) -> str:
    """A mapping as TOML text; `parse` gives it back."""
    lines = [
        *_HEAD.splitlines(),
        f"format = {_quoted(FORMAT)}",
        f"original = {_quoted(weights.original.label)}",
        f"port = {_quoted(weights.port.label)}",
    ]
    open_moves = {
        (m.original, m.port): len(c.candidates)
        for c in weights.open_choices
        for candidate in c.candidates
        for m in candidate
    }
    lines += [f"# To look at: {doubt}" for doubt in weights.doubts]
    by_module: dict[str, list[Move]] = {_module(name): [] for name in weights.original.shapes}
    for move in weights.moves:
        by_module[_module(move.original.name)].append(move)
    for module, moves in by_module.items():
        if moves:
            owner = weights.original.owners.get(module, "")
            lines += ["", f"[weights.{_key(module)}]" + (f"  # {owner}" if owner else "")]
            lines += _lines(moves, weights, open_moves)
    left = weights.left_over
    if any(left):
        lines += ["", "[left_over]  # without a partner: kept as they are, never compared"]
        for side, names in zip(("original", "port"), left, strict=True):
            lines += [f"{side} = ["] + [f"    {_quoted(name)}," for name in names] + ["]"]
    if weights.original.tied:
        lines += ["", "[tied]  # second names of tensors of the original"]
        lines += [f"{_quoted(a)} = {_quoted(b)}" for a, b in weights.original.tied.items()]
    return "\n".join(lines) + "\n"


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _lines(
    moves: Sequence[Move], weights: Weights, open_moves: Mapping[tuple[Piece, Piece], int]
) -> Iterator[str]:
    by_piece: dict[Piece, list[Move]] = {}
    for move in moves:
        by_piece.setdefault(move.original, []).append(move)
    for piece, several in by_piece.items():
        module = _module(piece.name)
        key = _key(str(piece)[len(module) + 1 if module else 0 :])
        entries = [_entry(move) for move in several]
        value = entries[0] if len(entries) == 1 else "[" + ", ".join(entries) + "]"
        yield f"{key} = {value}  # {_comment(several[0], weights, open_moves)}"


def _entry(move: Move) -> str:
    if not move.merged and _is_plain(move.axes):
        return _quoted(str(move.port))
    text = f"port = {_quoted(str(move.port))}"
    if not _is_plain(move.axes):
        text += f", axes = {_quoted(str(move.axes))}"
    if move.merged:
        text += ", merged = true"
    return f"{{ {text} }}"


def _is_plain(axes: Axes) -> bool:
    return axes.plain and all(len(group) == 1 and group[0].name for group in axes.left)


def _comment(move: Move, weights: Weights, open_moves: Mapping[tuple[Piece, Piece], int]) -> str:
    shapes = (
        move.original.shape(weights.original.shapes[move.original.name]),
        move.port.shape(weights.port.shapes[move.port.name]),
    )
    text = f"{move.how}; {shapes[0]}" + (f" to {shapes[1]}" if shapes[0] != shapes[1] else "")
    ways = open_moves.get((move.original, move.port), 0)
    return f"{text}; open, the first of {ways}" if ways else text


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# Reading


def load(path: str | os.PathLike[str], original: Inventory, port: Inventory) -> Weights:
    """A mapping that `save` or a person wrote, for these two sides. Raises BadInput."""
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{source}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{source}: not UTF-8 text (byte {error.start})") from error
    return parse(text, original, port, str(source))


def parse(text: str, original: Inventory, port: Inventory, where: str = "weights") -> Weights:
    """A mapping from TOML text. Raises BadInput, which names the entry."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{where}: not valid TOML: {error}") from error
    if content.get("format") != FORMAT:
        raise BadInput(f"{where}: format {content.get('format')!r}; allowed is {FORMAT!r}")
    known = {"format", "original", "port", "weights", "left_over", "tied"}
    unknown = sorted(content.keys() - known)
    if unknown:
        raise BadInput(f"{where}: {unknown[0]}: unknown; allowed are {', '.join(sorted(known))}")
    moves = tuple(_moves(_table(content, "weights", where), original, port, where))
    weights = Weights(original, port, moves)
    _require_fit(weights, where)
    _require_once(weights, where)
    _require_named(weights, _table(content, "left_over", where), where)
    return weights


def moves_of(
    entries: Mapping[str, Any], original: Inventory, port: Inventory, where: str = "weights"
) -> tuple[Move, ...]:
    """Moves from a mapping of the original's full names, for some tensors. Raises BadInput."""
    moves = tuple(_moves({"": entries}, original, port, where))
    weights = Weights(original, port, moves)
    _require_fit(weights, where)
    _require_once(weights, where)
    return moves


def _table(content: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, Mapping):
        raise BadInput(f"{where}: {name}: allowed is a table, as [{name}]")
    return table


def _moves(
    modules: Mapping[str, Any], original: Inventory, port: Inventory, where: str
) -> Iterator[Move]:
    for module, table in modules.items():
        if not isinstance(table, Mapping):
            raise BadInput(
                f'{where}: weights.{module}: allowed is a table, as [weights."{module}"]'
            )
        for key, value in table.items():
            name = f"{module}.{key}" if module else key
            place = f"{where}: {name}"
            one = _piece(name, original, "original", place)
            for entry in value if isinstance(value, list) else [value]:
                yield _move(one, entry, port, place)


def _move(one: Piece, entry: object, port: Inventory, place: str) -> Move:
    fields = {"port": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping) or not isinstance(fields.get("port"), str):
        raise BadInput(
            f'{place}: allowed is "tensor" or {{ port = "tensor", axes = "a b -> b a" }}'
        )
    unknown = sorted(fields.keys() - {"port", "axes", "merged"})
    if unknown:
        raise BadInput(f"{place}: {unknown[0]}: unknown; allowed are port, axes, merged")
    other = _piece(fields["port"], port, "port", place)
    merged, text = fields.get("merged", False), fields.get("axes")
    if not isinstance(merged, bool) or not isinstance(text, str | None):
        raise BadInput(f"{place}: merged is true or false, axes a text such as 'a b -> b a'")
    shape = other.shape(port.shapes[other.name])
    try:
        axes = _straight(len(shape)) if text is None else axes_text.parse(text)
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from error
    return Move(one, other, axes, "given", merged)


def _straight(rank: int) -> Axes:
    side = tuple((Axis(letter),) for letter in "abcdefghijklmnop"[:rank])
    return Axes(side, side)


def _piece(text: str, side: Inventory, which: str, place: str) -> Piece:
    try:
        piece = pieces_text.parse(text)
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from error
    name = side.tied.get(piece.name, piece.name)
    if name not in side.shapes:
        close = get_close_matches(name, side.shapes, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise BadInput(f"{place}: the {which} has no tensor {name}{hint}")
    return Piece(name, piece.index)


def _require_fit(weights: Weights, where: str) -> None:
    """Every entry's shapes have to fit its axes."""
    for move in weights.moves:
        shapes = weights.original.shapes[move.original.name], weights.port.shapes[move.port.name]
        place = f"{where}: {move.original}"
        for piece, shape in zip((move.original, move.port), shapes, strict=True):
            if not piece.fits(shape):
                raise BadInput(f"{place}: {piece} is outside of the tensor's shape {shape}")
        parts = move.original.shape(shapes[0]), move.port.shape(shapes[1])
        try:
            move.axes.sizes(*parts)
        except BadInput as error:
            raise BadInput(
                f"{place} {parts[0]} and {move.port} {parts[1]} do not fit: {error}"
            ) from error


def _require_once(weights: Weights, where: str) -> None:
    """Every element of a tensor is in one entry, or in several that are said to be the same."""
    for link in weights.links:
        for parts in (
            [move.original_part for move in link.transform],
            [move.port_part for move in link.transform],
        ):
            different = list(dict.fromkeys(parts))
            for index, (one, taken) in enumerate(different):
                for other, also in different[index + 1 :]:
                    apart = one == other and len(taken) == len(also) > 0
                    if not apart and one.meets(other):
                        raise BadInput(f"{where}: {one} and {other} overlap; allowed is once")


def _require_named(weights: Weights, named: Mapping[str, Any], where: str) -> None:
    """What has no entry has to stand in left_over, so that nothing is forgotten."""
    for which, found in zip(("original", "port"), weights.left_over, strict=True):
        allowed = named.get(which, [])
        if not isinstance(allowed, list):
            raise BadInput(f"{where}: left_over.{which}: allowed is a list of tensors")
        forgotten = [name for name in found if name not in allowed]
        if forgotten:
            raise BadInput(
                f"{where}: {forgotten[0]} of the {which} has no entry; give it one, or add it to "
                f"left_over.{which}"
            )
        wrong = [name for name in allowed if name not in found]
        if wrong:
            raise BadInput(
                f"{where}: left_over.{which}: {wrong[0]} has an entry, or does not exist; "
                "take it out"
            )
