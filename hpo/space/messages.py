"""Pydantic's errors in the project's form: rule, value, remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

from hpo.records import Json
from hpo.space.document import Keys

# type of error -> rule; {x} are keys of the error's context
_RULES = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be finite",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "none_required": "must be null",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
}


def rule(error: ErrorDetails) -> str:
    """What must hold, in words."""
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "union_tag_not_found":
        return f"needs a {context['discriminator']}"
    if error["type"] in _RULES:
        return _RULES[error["type"]].format(**context)
    return error["msg"]


def describe(error: ErrorDetails) -> str:
    """`rule, got value; remedy` for one error."""
    text = rule(error)
    given = error["input"]
    if error["type"] in ("missing", "union_tag_not_found"):
        return f"{text}; add it"
    if error["type"] == "secret":
        return text  # what was given must not be repeated
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "union_tag_invalid":
        return f"{text}, got {context['tag']!r}" + did_you_mean(
            context["tag"], _quoted(context["expected_tags"])
        )
    text += f", got {show(given)}"
    if text.startswith(("must be a number", "must be a whole")) and isinstance(given, (dict, list)):
        text += "; a range is written {low: ..., high: ...}"
    if error["type"] == "literal_error" and isinstance(given, str):
        text += did_you_mean(given, _quoted(context["expected"]))
    return text


def not_a_number(value: bool) -> str:
    return f"must be a number, got {str(value).lower()}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    known = list(known)
    return f"there is no {key!r}" + (did_you_mean(key, known) or f"; known: {', '.join(known)}")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def show(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def input_path(error: ErrorDetails, data: Json) -> Keys:
    """Where in `data` an error lies.

    Pydantic's own location also names union members, which are no keys of the data: they are left
    out. A missing key is part of the path.
    """
    path: list[str | int] = []
    at = data
    location = error["loc"]
    tagged: Json = None  # the mapping whose kind was named already
    for i, key in enumerate(location):
        last = i == len(location) - 1
        if isinstance(at, dict) and isinstance(key, str):
            if key == at.get("kind") and not last and at is not tagged:
                tagged = at
                continue
            if key in at:
                path.append(key)
                at = at[key]
            elif last and error["type"] == "missing":
                path.append(key)
        elif isinstance(at, (list, tuple)) and isinstance(key, int):
            if key < len(at):
                path.append(key)
                at = at[key]
            elif last and error["type"] == "missing":
                path.append(key)
    return tuple(path)


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)
