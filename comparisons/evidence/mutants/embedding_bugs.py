"""Bugs of embeddings: rows off by one or shared, other texts, gradients that do not add up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from comparisons.evidence.mutants.bases import CATEGORIES
from comparisons.evidence.mutants.hosts import Host, Slots, Tensor
from comparisons.evidence.mutants.mutant import Change, Mutant, Plant
from comparisons.evidence.mutants.norm_bugs import with_values
from comparisons.evidence.mutants.optimizer_bugs import AdamRule
from twofold.spec.layers.embedding import Embedding

TEXTS: Final = "classes, texts"
MANY: Final = "classes, many texts"
OF_TEXTS: Final = Embedding(features=1, categories=CATEGORIES)
LASTS: Final = tuple(end - 1 for end in OF_TEXTS.first_rows[1:])

ChangeRows = Callable[[Host, Tensor], Tensor]
ChangeTaken = Callable[[Host, Tensor, Tensor], Tensor]


def embed(
    host: Host,
    layer: Any,
    inputs: Tensor,
    *,
    texts: Callable[[Host, Tensor], Tensor] = lambda _, x: x,
    rows: ChangeRows = lambda _, rows: rows,
    taken: ChangeTaken = lambda _, __, taken: taken,
    order: tuple[int, ...] = (0, 1),
    numbers_last: bool = False,
) -> Tensor:
    """The correct embedding, with a place for every bug."""
    named = rows(host, host.whole(texts(host, inputs[:, layer.numbers :])))  # (batch, columns)
    found = taken(host, named, host.table(layer)[named])  # (batch, columns, features)
    columns = [found[:, place] for place in order[: named.shape[1]]]
    parts = [inputs[:, : layer.numbers], *columns]
    return host.xp.concatenate([*parts[1:], parts[0]] if numbers_last else parts, 1)


def planted(**places: Any) -> Plant:
    """Plant an embedding with a bug in one of its places."""
    return lambda host: host.embedding(partial(embed, **places))


def _shifted(_: Host, rows: Tensor) -> Tensor:
    return (rows + 1) % OF_TEXTS.first_rows[-1]


def _clamped(host: Host, rows: Tensor) -> Tensor:
    """Other texts read the row of the column's last text."""
    columns = [
        host.xp.where(rows[:, place] == last, rows[:, place] - 1, rows[:, place])
        for place, last in enumerate(LASTS)
    ]
    return host.xp.stack(columns, 1)


def _without_offsets(host: Host, rows: Tensor) -> Tensor:
    """Every column reads from row 0 on."""
    firsts = OF_TEXTS.first_rows[:-1]
    return host.xp.stack([rows[:, place] - first for place, first in enumerate(firsts)], 1)


def _last_alone(host: Host, rows: Tensor, taken: Tensor) -> Tensor:
    """Of the inputs that name a row the last one alone gives it a gradient."""
    flat = rows.reshape(-1)
    same = flat[:, None] == flat[None, :]
    again = host.xp.triu(same * 1, 1).sum(axis=1) > 0  # a later input names the same row
    last = ~again.reshape(*rows.shape, 1)
    return host.xp.where(last, taken, host.detach(taken))


def _by_frequency(host: Host, rows: Tensor, taken: Tensor) -> Tensor:
    """A row's gradient is the mean of what comes back, not the sum."""
    flat = rows.reshape(-1)
    counts = ((flat[:, None] == flat[None, :]) * 1).sum(axis=1).reshape(*rows.shape, 1)
    fixed = host.detach(taken)
    return fixed + (taken - fixed) / counts


def _as_padding(host: Host, rows: Tensor, taken: Tensor) -> Tensor:
    """The rows of other texts are never trained."""
    others = (rows == LASTS[0]) | (rows == LASTS[1])
    return host.xp.where(others[:, :, None], host.detach(taken), taken)


def _lazy(
    host: Host, spec: Any, p: Tensor, gradient: Tensor, slots: Slots, count: int
) -> tuple[Tensor, Slots]:
    """Rows without a gradient stand: no decay, no moments, as in a lazy or sparse Adam."""
    delta, after = AdamRule()(host, spec, p, gradient, slots, count)
    if p.ndim < 2:
        return delta, after
    named = host.xp.abs(gradient).sum(axis=1, keepdims=True) > 0
    stay = {slot: host.xp.where(named, value, slots[slot]) for slot, value in after.items()}
    return host.xp.where(named, delta, 0.0 * delta), stay


def _table_without_decay(
    host: Host, spec: Any, p: Tensor, gradient: Tensor, slots: Slots, count: int
) -> tuple[Tensor, Slots]:
    if len(p) == OF_TEXTS.first_rows[-1]:
        spec = spec.model_copy(update={"weight_decay": 0.0})
    return AdamRule()(host, spec, p, gradient, slots, count)


def _mutant(name: str, description: str, plant: Plant, base: str = TEXTS) -> Mutant:
    return Mutant(name, "embeddings", description, base, plant=plant)


def _setting(name: str, description: str, change: Change) -> Mutant:
    return Mutant(name, "embeddings", description, TEXTS, change=change)


MUTANTS: Final = (
    _mutant("text-off-by-one", "each text reads the row after its own", planted(rows=_shifted)),
    _mutant(
        "other-texts-as-the-last",
        "a text that training does not have reads the row of the column's last text",
        planted(rows=_clamped),
    ),
    _mutant(
        "columns-share-rows",
        "all columns read from the first row on: the offsets are forgotten",
        planted(rows=_without_offsets),
    ),
    _mutant(
        "embedded-columns-exchanged",
        "the embedded columns stand in another order",
        planted(order=(1, 0)),
    ),
    _mutant(
        "numbers-after-texts",
        "the columns of numbers stand after the embedded ones",
        planted(numbers_last=True),
    ),
    _mutant(
        "repeated-texts-once",
        "a row's gradient is that of the last input that names it: assigned, not added",
        planted(taken=_last_alone),
    ),
    _mutant(
        "gradient-by-frequency",
        "a row's gradient is divided by how often it is named (scale_grad_by_freq)",
        planted(taken=_by_frequency),
    ),
    _mutant(
        "other-texts-as-padding",
        "the row of other texts gets no gradient (padding_idx)",
        planted(taken=_as_padding),
    ),
    _mutant(
        "texts-in-bfloat16",
        "the numbers of the rows pass through bfloat16, which holds every whole number up to 256 "
        "alone",
        planted(texts=lambda host, x: host.rounded(x, 8)),
        MANY,
    ),
    _mutant(
        "rows-without-gradient-stand",
        "rows that no input names neither decay nor move by their moments, as in a sparse Adam",
        lambda host: host.update(_lazy),
    ),
    _mutant(
        "table-without-decay",
        "weight decay leaves out the table of the embedding",
        lambda host: host.update(_table_without_decay),
    ),
    _setting(
        "embedding-init-of-flax",
        "the table starts with Flax's deviation, 1 / sqrt(features), not with 1",
        with_values(Embedding, init="flax"),
    ),
)
CONTROLS: Final = (
    Mutant("control-embedding", "control", "the embedding written out", TEXTS, plant=planted()),
    Mutant("control-embedding-many", "control", "no bug at all, 999 texts", MANY, plant=planted()),
)
