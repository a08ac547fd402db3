"""Validate the values of a spec, and say what is wrong with them, all at once, in plain words.

What is allowed in a field is read from the JSON Schema of the spec's model, so that the words
cannot drift from the check. A `root` is that schema with every reference replaced by what it means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from twofold.errors import SpecError
from twofold.spec.limits import cut, require_bounded, shown

M = TypeVar("M", bound=BaseModel)
Node = Mapping[str, Any]
Location = tuple[int | str, ...]
MOST_ERRORS = 20
LONGEST_LINE = 1000
ELSEWHERE_CALLED = {
    "smooth_l1": "huber, which is smooth L1 times its delta",
    "xavier_uniform": "glorot_uniform",
    "kaiming_uniform": "pytorch, which is kaiming_uniform with a = sqrt(5)",
    "truncated_normal": "lecun_normal or he_normal, which are truncated",
    "cosine": "warmup_cosine with warmup_steps = 0",
    "piecewise_constant": "step",
    "lr": "learning_rate",
    "bce": "bce_with_logits",
    "bf16": "mixed_bfloat16",
    "bfloat16": "mixed_bfloat16",
    "weight": "class_weights",
    "class_weight": "class_weights",
    "gamma": "decay_rate",
    "step_size": "transition_steps",
    "start_factor": "start_fraction",
    "end_factor": "final_fraction",
    "total_iters": "transition_steps",
    "init_value": "start_fraction, a share of learning_rate",
    "end_value": "final_fraction, a share of learning_rate",
}
"""What other libraries call a value or a key of the spec."""


@lru_cache(maxsize=4)
def root_of(model: type[BaseModel]) -> Node:
    """The JSON Schema of a spec's model, its references resolved."""
    schema = model.model_json_schema()
    resolved: Node = _resolved(schema, schema.get("$defs", {}))
    return resolved


def _resolved(node: Any, definitions: Mapping[str, Any]) -> Any:
    """A part of a schema in which `$ref`, and the names of kinds, are what they refer to."""
    if isinstance(node, list):
        return [_resolved(item, definitions) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "$ref" in node:
        return _resolved(definitions[_name_of(node["$ref"])], definitions)
    done = {key: _resolved(value, definitions) for key, value in node.items() if key != "$defs"}
    if "mapping" in node.get("discriminator", {}):
        kinds = node["discriminator"]["mapping"].items()
        done["discriminator"]["mapping"] = {
            kind: _resolved(definitions[_name_of(reference)], definitions)
            for kind, reference in kinds
        }
    return done


def _name_of(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


def validate(model: type[M], values: Mapping[str, object], where: str) -> M:
    """The spec of nested values. Raises SpecError with every error, each with its field.

    Of more than MOST_ERRORS errors the first ones are told, and how many there are.
    """
    require_bounded(values, where)
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        root, errors = root_of(model), error.errors(include_url=False)
        lines = [cut(_sentence(root, item), LONGEST_LINE) for item in errors[:MOST_ERRORS]]
    if len(errors) == 1:
        raise SpecError(f"{where}: {lines[0]}")
    if len(errors) > MOST_ERRORS:
        lines.append(f"and {len(errors) - MOST_ERRORS:,} more")
    raise SpecError("\n  ".join([f"{where}: {len(errors):,} errors", *lines]))


def kinds(root: Node, section: str) -> tuple[str, ...]:
    """What `kind` may be in a section such as `optimizer`; empty where there is no choice."""
    return tuple(_node_of(root, (section,)).get("discriminator", {}).get("mapping", {}))


def fields(root: Node, section: str, kind: str) -> tuple[str, ...]:
    """The fields of one kind of a section, such as those of `adamw` in `optimizer`."""
    return tuple(_node_of(root, (section, kind)).get("properties", {}))


def _below(node: Node, step: int | str) -> Node:
    """The schema one step below a node: a kind, an item of a list, or a field of a table."""
    for choice in node.get("anyOf", ()):  # a list that may be left out
        if choice.get("type") != "null":
            node = choice
    mapping = node.get("discriminator", {}).get("mapping", {})
    found: Node
    if step in mapping:
        found = mapping[step]
    elif isinstance(step, int):
        items = node.get("prefixItems", ())
        found = items[step] if step < len(items) else node.get("items", {})
    else:
        found = node.get("properties", {}).get(step, {})
    return found


def _node_of(root: Node, location: Location) -> Node:
    node = root
    for step in location:
        node = _below(node, step)
    return node


def _dotted(root: Node, location: Location) -> str:
    """`("optimizer", "adam", "betas", 0)` as `optimizer.betas[0]`: the kind is not written."""
    text, node = "", root
    for step in location:
        is_kind = step in node.get("discriminator", {}).get("mapping", {})
        if not is_kind:
            text += f"[{step}]" if isinstance(step, int) else f".{cut(step)}"
        node = _below(node, step)
    return text.removeprefix(".")


def _sentence(root: Node, error: ErrorDetails) -> str:
    """One error as `field: what was given; what is allowed`."""
    location = error["loc"]
    field, node = _dotted(root, location), _node_of(root, location)
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(root, location)
        case "union_tag_invalid" | "union_tag_not_found":
            return _wrong_kind(field, node, error["input"])
        case "value_error":
            reason = str(error["ctx"]["error"])
            return f"{field}: {reason}" if field else reason  # one of the whole experiment
        case "missing":
            return f"{field}: nothing given; allowed is {allowed(node)}"
        case "string_unicode":
            return f"{field}: not valid Unicode; allowed is {allowed(node)}"
    given = error["input"]
    hint = _did_you_mean(given, node.get("enum", ())) if isinstance(given, str) else ""
    return f"{field}: {shown(given)} given; allowed is {allowed(node)}{hint}"


def _did_you_mean(given: str, known: tuple[str, ...] | list[str]) -> str:
    meant = ELSEWHERE_CALLED.get(given, "")
    if re.split(r"[ ,]", meant)[0] in known:
        return f"; here that is {meant}"
    close = get_close_matches(cut(given), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _unknown_key(root: Node, location: Location) -> str:
    parent, key = location[:-1], str(location[-1])
    node = _node_of(root, parent)
    known = list(node.get("properties", {}))
    hint = _elsewhere(root, parent, key) or _did_you_mean(key, known)
    kind = node.get("properties", {}).get("kind", {}).get("const")
    owner = f" of kind {kind!r}" if kind and len(parent) > 1 else ""
    return f"{_dotted(root, location)}: unknown key{hint}; allowed{owner} is {', '.join(known)}"


def _elsewhere(root: Node, parent: Location, key: str) -> str:
    """Where else a key is known: in another kind at the same place, or in a section."""
    if parent:
        homes = _kinds_with(key, _node_of(root, parent[:-1]))
        return f"; it belongs to kind {', '.join(homes)}" if homes else ""
    for section, node in root["properties"].items():
        if _kinds_with(key, node) or key in node.get("properties", {}):
            return f"; did you mean {section}.{key}?"
    return ""


def _kinds_with(key: str, node: Node) -> list[str]:
    """The kinds that a node may be of and that know a key."""
    mapping = node.get("discriminator", {}).get("mapping", {})
    return [kind for kind in mapping if key in _below(node, kind).get("properties", {})]


def _wrong_kind(field: str, node: Node, given: object) -> str:
    known = list(node["discriminator"]["mapping"])
    choice = f"allowed is {', '.join(known)}"
    if not isinstance(given, Mapping) or "kind" not in given:
        return f"{field}.kind: nothing given; {choice}"
    hint = _did_you_mean(str(given["kind"]), known)
    return f"{field}.kind: {shown(given['kind'])} given; {choice}{hint}"


def allowed(node: Node) -> str:
    """What a JSON Schema node allows, in words."""
    if "anyOf" in node:
        words = [allowed(item) for item in node["anyOf"] if item.get("type") != "null"]
        return " or ".join(words) + ", or leave it out"
    if "enum" in node:
        return ", ".join(node["enum"])
    if "const" in node:
        return str(node["const"])
    if "discriminator" in node:
        return f"a table with kind = {', '.join(node['discriminator']['mapping'])}"
    match node.get("type"):
        case "integer":
            return f"a whole number{_range(node)}"
        case "number":
            return f"a finite number{_range(node)}"
        case "boolean":
            return "true or false"
        case "string":
            return f"a text of {node.get('minLength', 0)} or more characters{_most(node)}"
        case "array":
            return _list(node)
    return "a table"


def _range(node: Node) -> str:
    low, high = _limit(node, "minimum"), _limit(node, "maximum")
    below, above = _limit(node, "exclusiveMaximum"), _limit(node, "exclusiveMinimum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None and below is not None:
        return f" from {low} up to, not including, {below}"
    if low is not None:
        return f", {low} or more"
    return f" above {above}" if above is not None else ""


def _limit(node: Node, name: str) -> int | float | None:
    """A limit of the schema; pydantic 2.10 writes 1.0 where newer versions write 1."""
    limit: int | float | None = node.get(name)
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _most(node: Node) -> str:
    return f", at most {node['maxLength']}" if "maxLength" in node else ""


def _list(node: Node) -> str:
    items = node.get("prefixItems")
    if items:
        return f"a list of {len(items)} items, each {allowed(items[0])}"
    least, most = node.get("minItems", 0), node.get("maxItems")
    size = f"{least} or more" if most is None else f"at most {most}"
    return f"a list of {size} items, each {allowed(node['items'])}"
