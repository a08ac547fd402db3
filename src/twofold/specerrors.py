"""Validate the values of a spec, and say what is wrong with them, all at once, in plain words.

What is allowed in a field is read from the JSON Schema of `Experiment`, so that the words cannot
drift from the check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from twofold.errors import SpecError
from twofold.experiment import Experiment

Node = Mapping[str, Any]
Location = tuple[int | str, ...]
LONGEST_SHOWN = 60
ELSEWHERE_CALLED = {
    "smooth_l1": "huber, which is smooth L1 times its delta",
    "xavier_uniform": "glorot_uniform",
    "kaiming_uniform": "pytorch, which is kaiming_uniform with a = sqrt(5)",
    "truncated_normal": "lecun_normal or he_normal, which are truncated",
    "cosine": "warmup_cosine with warmup_steps = 0",
    "piecewise_constant": "step",
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


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON Schema of an experiment."""
    return Experiment.model_json_schema()


def validate(values: Mapping[str, object], where: str) -> Experiment:
    """The experiment of nested values. Raises SpecError with every error, each with its field."""
    try:
        return Experiment.model_validate(dict(values))
    except ValidationError as error:
        lines = [_sentence(item) for item in error.errors(include_url=False)]
    if len(lines) == 1:
        raise SpecError(f"{where}: {lines[0]}")
    raise SpecError("\n  ".join([f"{where}: {len(lines)} errors", *lines]))


def shown(value: object) -> str:
    """A value as a person would write it in TOML, cut when long."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def kinds(section: str) -> tuple[str, ...]:
    """What `kind` may be in a section such as `optimizer`; empty where there is no choice."""
    return tuple(_node_of((section,)).get("discriminator", {}).get("mapping", {}))


def fields(section: str, kind: str) -> tuple[str, ...]:
    """The fields of one kind of a section, such as those of `adamw` in `optimizer`."""
    return tuple(_node_of((section, kind)).get("properties", {}))


def _dereferenced(node: Node) -> Node:
    while "$ref" in node:
        node = schema()["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def _below(node: Node, step: int | str) -> Node:
    """The schema one step below a node: a kind, an item of a list, or a field of a table."""
    for choice in node.get("anyOf", ()):  # a list that may be left out
        if choice.get("type") != "null":
            node = _dereferenced(choice)
    mapping = node.get("discriminator", {}).get("mapping", {})
    if step in mapping:
        return _dereferenced({"$ref": mapping[step]})
    if isinstance(step, int):
        items = node.get("prefixItems", ())
        found = items[step] if step < len(items) else node.get("items", {})
    else:
        found = node.get("properties", {}).get(step, {})
    return _dereferenced(found)


def _node_of(location: Location) -> Node:
    node: Node = schema()
    for step in location:
        node = _below(node, step)
    return node


def _dotted(location: Location) -> str:
    """`("optimizer", "adam", "betas", 0)` as `optimizer.betas[0]`: the kind is not written."""
    text, node = "", schema()
    for step in location:
        is_kind = step in node.get("discriminator", {}).get("mapping", {})
        if not is_kind:
            text += f"[{step}]" if isinstance(step, int) else f".{step}"
        node = dict(_below(node, step))
    return text.removeprefix(".")


def _sentence(error: ErrorDetails) -> str:
    """One error as `field: what was given; what is allowed`."""
    location = error["loc"]
    field, node = _dotted(location), _node_of(location)
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(location)
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
    close = get_close_matches(given, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _unknown_key(location: Location) -> str:
    parent, key = location[:-1], str(location[-1])
    node = _node_of(parent)
    known = list(node.get("properties", {}))
    hint = _elsewhere(parent, key) or _did_you_mean(key, known)
    kind = node.get("properties", {}).get("kind", {}).get("const")
    owner = f" of kind {kind!r}" if kind and len(parent) > 1 else ""
    return f"{_dotted(location)}: unknown key{hint}; allowed{owner} is {', '.join(known)}"


def _elsewhere(parent: Location, key: str) -> str:
    """Where else a key is known: in another kind at the same place, or in a section."""
    if parent:
        homes = _kinds_with(key, _node_of(parent[:-1]))
        return f"; it belongs to kind {', '.join(homes)}" if homes else ""
    for section in schema()["properties"]:
        node = _node_of((section,))
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
    node = _dereferenced(node)
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
    low, high = node.get("minimum"), node.get("maximum")
    below, above = node.get("exclusiveMaximum"), node.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None and below is not None:
        return f" from {low} up to, not including, {below}"
    if low is not None:
        return f", {low} or more"
    return f" above {above}" if above is not None else ""


def _most(node: Node) -> str:
    return f", at most {node['maxLength']}" if "maxLength" in node else ""


def _list(node: Node) -> str:
    items = node.get("prefixItems")
    if items:
        return f"a list of {len(items)} items, each {allowed(items[0])}"
    least, most = node.get("minItems", 0), node.get("maxItems")
    size = f"{least} or more" if most is None else f"at most {most}"
    return f"a list of {size} items, each {allowed(node['items'])}"
