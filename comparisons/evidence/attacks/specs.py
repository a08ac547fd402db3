"""Random bad specs: damaged, with odd values, far too large, or soups of what TOML is made of."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import tomli_w

from comparisons.evidence.attacks import damage
from twofold.problem.data import prepare
from twofold.spec import toml
from twofold.spec.experiment import Experiment

MOST_PREPARED: Final = 100_000
LARGEST: Final = 1_200_000
SOUP: Final = (
    *("[", "]", "[[", "]]", "{", "}", "=", " = ", ".", ",", "\n", "#", '"', "'", '"""', "'''"),
    *("\\", "\\u0000", "0x", "0b1", "1e9", "-", "+", "_", "nan", "inf", "true", "1979-05-27", "T"),
    *("model", "optimizer", "data", "training", "seed", "kind", "layers", "hidden", "schedule"),
    *("07:32:00", "source", "columns", "epochs", "weights", "\ufeff", "\0", "\r", "1", "0.5"),
)


def attack(seed: int, number: int, folder: Path) -> str:
    """Load one spec from a file, write it out again, and prepare a small one's problem."""
    rng = random.Random(f"{seed}-{number}")
    path = folder / "spec.toml"
    path.write_bytes(rng.choice(STRATEGIES)(rng))
    overrides = [_override(rng) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    experiment = Experiment.load(path, overrides)
    if Experiment.from_toml(experiment.to_toml()) != experiment:
        return "silent: written and read again it is another"
    if _small(experiment):
        prepare(experiment)
        return "accepted and prepared"
    return "accepted"


def _small(experiment: Experiment) -> bool:
    """Whether the problem is no larger than a test should make: such a size is the person's own."""
    model = experiment.model
    wide = max(model.in_features or 1, model.out_features or 1)
    return (experiment.data.rows or 1000) * wide <= MOST_PREPARED


def _damaged(rng: random.Random) -> bytes:
    return damage.of_bytes(rng, _builtin(rng).encode())


def _odd_values(rng: random.Random) -> bytes:
    values: dict[str, Any] = tomllib.loads(_builtin(rng))
    if rng.random() < 0.3:
        values["model"] = {"kind": "sequential", "layers": [_layer(rng) for _ in range(4)]}
    for _ in range(rng.choice((1, 1, 2, 5))):
        damage.of_values(rng, values)
    return tomli_w.dumps(values).encode("utf-8", "replace")


def _layer(rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(("linear", "activation", "dropout", "layer_norm", "batch_norm", "residual"))
    inside = {"layers": [_layer(rng)]} if kind == "residual" else {}
    return {"kind": kind, **inside, **({"out_features": 8} if kind == "linear" else {})}


def _too_large(rng: random.Random) -> bytes:
    """A size between 1 and a million, spent on one thing."""
    size = int(2 ** rng.uniform(0, 20))
    key = rng.choice(("seed", "name", "training.epochs", "model.hidden", "data.source", "a"))
    texts: tuple[Callable[[], str], ...] = (
        lambda: f"{key} = " + "9" * size,
        lambda: f"{key} = 0x" + "f" * size,
        lambda: f"{key} = 0.{'1' * size}",
        lambda: f"{key} = " + "[" * size + "]" * size,
        lambda: f"{key} = " + "{a=" * size + "1" + "}" * size,
        lambda: f"{key} = '{'a' * size}'",
        lambda: f"{key} = '''{'a.' * size}'''",
        lambda: "a." * size + f"{key} = 1",
        lambda: f"[{'a.' * size}a]\n{key} = 1",
        lambda: f"{'a' * size} = 1",
        lambda: f"{key} = [{'1,' * size}]",
        lambda: f"{key} = [{'{},' * size}]",
        lambda: "\n".join(f"k{i} = 1" for i in range(size // 8)),
        lambda: "\n".join(f"[t{i}]" for i in range(size // 8)),
        lambda: "[[a]]\n" * (size // 6),
        lambda: "\n".join(f"a.b.c.d{i} = 1" for i in range(size // 12)),
        lambda: "\n" * size + f"{key} = 1",
        lambda: "#" * size,
        lambda: "1 = " * size,
        lambda: '"' * size,
        lambda: f"{key} = {'{a.b.c.d = ' * (size // 9)}1{'}' * (size // 9)}",
    )
    return rng.choice(texts)()[:LARGEST].encode()


def _soup(rng: random.Random) -> bytes:
    pieces = rng.choices(SOUP, k=rng.choice((3, 10, 30, 300)))
    return "".join(pieces).encode("utf-8", "surrogatepass")


def _override(rng: random.Random) -> str:
    fields = ("seed", "model.hidden", "model", "optimizer.kind", "data.source", "loss.kind", "a.b")
    text = str(damage.value(rng)) if rng.random() < 0.9 else "9" * 5000
    return rng.choice((*fields, "", ".", "a" * 5000)) + rng.choice(("=", "=", "=", "")) + text


def _builtin(rng: random.Random) -> str:
    return toml.builtin_text(rng.choice(toml.builtin_names()))


STRATEGIES: Final = (_damaged, _damaged, _odd_values, _odd_values, _odd_values, _too_large, _soup)
