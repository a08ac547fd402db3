"""Tiny models of Transformers, its Flax ports against its PyTorch originals; nothing is downloaded.

What the base models return as last hidden state is judged, and its gradients.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import torch
import transformers

from comparisons.ports.case import Case
from twofold import port

TEXT: Final = {
    "vocab_size": 23,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
GPT: Final = {"vocab_size": 23, "bos_token_id": 0, "eos_token_id": 1}
LLAMA: Final = {
    "vocab_size": 23,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 16,
}
ALL: Final = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
NO_TYPES: Final = ("input_ids", "attention_mask", "position_ids")
"""What both take where PyTorch's model adds types of tokens and Flax's knows none."""


@final
@dataclass(frozen=True)
class Family:
    """A family by the stem of its classes, its tiny configuration, and what it is called with."""

    stem: str
    settings: Mapping[str, Any]
    inputs: tuple[str, ...] = ALL
    pooled: bool = True


FAMILIES: Final = (
    Family("Bert", TEXT),
    Family("Electra", {**TEXT, "embedding_size": 8}, pooled=False),
    Family("Electra", {**TEXT, "embedding_size": 6}, ("input_ids",), pooled=False),
    Family(
        "GPT2",
        {**GPT, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
        | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        inputs=NO_TYPES,
        pooled=False,
    ),
    Family(
        "GPTNeo",
        {**GPT, "hidden_size": 8, "num_layers": 2, "num_heads": 2, "intermediate_size": 16}
        | {"max_position_embeddings": 16, "attention_types": [[["global", "local"], 1]]}
        | {"window_size": 4, "resid_dropout": 0.0, "embed_dropout": 0.0, "attention_dropout": 0.0},
        inputs=NO_TYPES,
        pooled=False,
    ),
    Family(
        "GPTJ",
        {**GPT, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2, "rotary_dim": 4}
        | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        inputs=NO_TYPES,
        pooled=False,
    ),
    Family(
        "Bloom",
        {**GPT, "hidden_size": 8, "n_layer": 2, "n_head": 2}
        | {"hidden_dropout": 0.0, "attention_dropout": 0.0},
        pooled=False,
    ),
    Family("Llama", LLAMA, pooled=False),
    Family("Gemma", {**LLAMA, "head_dim": 4, "pad_token_id": 0}, pooled=False),
    Family(
        "ViT",
        {**{k: v for k, v in TEXT.items() if k not in ("vocab_size", "max_position_embeddings")}}
        | {"image_size": 8, "patch_size": 4},
        ("pixel_values",),
    ),
    Family(
        "ResNet",
        {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 2], "layer_type": "basic"},
        ("pixel_values",),
        pooled=False,
    ),
    Family(
        "RegNet",
        {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 2], "groups_width": 2}
        | {"layer_type": "y"},
        ("pixel_values",),
        pooled=False,
    ),
    Family("RoFormer", {**TEXT, "embedding_size": 8}, pooled=False),
)


def cases() -> Iterator[Case]:
    """Every family."""
    for family in FAMILIES:
        said = "token ids alone" if family.inputs == ("input_ids",) else "every input"
        yield Case("models", family.stem, said, _pair(family), {"steps": 0})


def _pair(family: Family) -> Callable[[], port.Pair]:
    def pair() -> port.Pair:
        torch.manual_seed(0)
        config = getattr(transformers, f"{family.stem}Config")(**family.settings)
        config._attn_implementation = "eager"
        ours = getattr(transformers, f"{family.stem}Model")
        pooled = {"add_pooling_layer": False} if family.pooled else {}
        original = ours(config, **pooled)
        flax = getattr(transformers, f"Flax{family.stem}Model")
        size = {"input_shape": (1, 16, 16, 3)} if family.stem in ("ResNet", "RegNet") else {}
        ported = flax(config, seed=0, **pooled, **size)
        images = family.inputs == ("pixel_values",)
        batch = _picture(family) if images else _text(family)
        layouts: dict[int | str, str] = {"pixel_values": "NCHW->NHWC"} if images else {}
        return port.Pair(
            port.Torch(original, call=_torch_call),
            port.Linen(ported.module, ported.params, call=_flax_call),
            batches=[batch],
            layouts=layouts,
        )

    return pair


def _torch_call(model: Any, batch: Mapping[str, Any]) -> Any:
    names = inspect.signature(model.forward).parameters
    return model(**{k: v for k, v in batch.items() if k in names}).last_hidden_state


def _flax_call(bound: Any, batch: Mapping[str, Any], training: bool) -> Any:
    """As the wrapper of Transformers calls its module: what is not given has its defaults."""
    import jax.numpy as jnp

    names = inspect.signature(type(bound).__call__).parameters
    given = dict(batch)
    if "input_ids" in given:
        ids = given["input_ids"]
        given.setdefault("attention_mask", jnp.ones_like(ids))
        given.setdefault("token_type_ids", jnp.zeros_like(ids))
        places = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
        given.setdefault("position_ids", places)
        given["head_mask"] = None
    named = {k: v for k, v in given.items() if k in names}
    return bound(**named, deterministic=not training).last_hidden_state


def _text(family: Family) -> dict[str, Any]:
    numbers = np.random.default_rng(0)
    shape = (2, 7)
    mask = np.ones(shape, np.int64)
    batch = {
        "input_ids": numbers.integers(2, 23, shape),
        "attention_mask": mask,
        "token_type_ids": numbers.integers(0, 2, shape),
        "position_ids": np.broadcast_to(np.arange(7), shape).copy(),
    }
    return {name: batch[name] for name in family.inputs}


def _picture(family: Family) -> dict[str, Any]:
    size = family.settings.get("image_size", 16)
    return {"pixel_values": np.random.default_rng(0).normal(size=(2, 3, size, size))}
