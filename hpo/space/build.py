"""From a document to a tree: what is a range, what are choices, and whether each is well formed."""

from __future__ import annotations

import difflib
import json
import math
import sys
from typing import Any

from hpo.errors import Mistake
from hpo.records import Json
from hpo.space.document import Document, Keys, dotted
from hpo.space.model import Shape
from hpo.space.tree import Array, Choices, Fixed, Node, Object, Range, is_multiple, labels

RANGE_KEYS = ("low", "high", "log", "step")

MAX_STEPS = 2**53  # floats do not tell more of them apart


def is_distribution(value: Json) -> bool:
    """Whether a value in a study file is meant to vary: `{low, high, ...}` or `{choices: [...]}`.

    A mapping with other keys beside these (misspelt ones excepted) is a part of the config that
    happens to have a field of that name.
    """
    if not isinstance(value, dict):
        return False
    if set(value) == {"choices"}:
        return True
    if not ({"low", "high"} & set(value)):
        return False
    return all(k in RANGE_KEYS or difflib.get_close_matches(k, RANGE_KEYS) for k in value)


class Builder:
    """Collects every mistake on the way; a malformed distribution leaves a gap in the tree."""

    def __init__(self, document: Document, prefix: str) -> None:
        self.document = document
        self.prefix = prefix
        self.mistakes: list[Mistake] = []
        self.gaps: set[Keys] = set()

    def build(self, shape: Shape) -> Node:
        """The tree of the whole document; `shape` says which fields hold whole numbers."""
        return self._node(self.document.data, (), "", shape) or Fixed(None)

    def refuse(self, at: Keys, message: str, key: bool = False, name: Keys | None = None) -> None:
        """Notes a mistake at `at` in the document, unless that place has one already."""
        path = _join(self.prefix, dotted(config_path(at if name is None else name)))
        place = self.document.place(at, key)
        if not any(m.place == place and m.path == path for m in self.mistakes):
            self.mistakes.append(Mistake(place, path, message))

    def _node(self, value: Json, at: Keys, name: str, shape: Shape) -> Node | None:
        if is_distribution(value) and not _is_part(value, shape):
            node = (
                self._choices(value, at, name, shape)
                if "choices" in value
                else self._range(value, at, name, shape)
            )
            if node is None:
                self.gaps.add(at)
            return node
        if isinstance(value, dict):
            inner = shape.inside(value)
            children: dict[str, Node | None] = {
                key: self._node(child, (*at, key), _join(name, key), inner.field(key))
                for key, child in value.items()
            }
            kept = {key: node for key, node in children.items() if node is not None}
            return Object(kept, at)
        if isinstance(value, list):
            items = [
                self._node(child, (*at, i), _join(name, str(i)), shape.element(i))
                for i, child in enumerate(value)
            ]
            filled = (n or Fixed(None, (*at, i)) for i, n in enumerate(items))
            return Array(tuple(filled), at)
        return Fixed(value, at)

    def _choices(self, value: dict[str, Json], at: Keys, name: str, shape: Shape) -> Node | None:
        options = value["choices"]
        if not isinstance(options, list) or not options:
            self.refuse(
                (*at, "choices"),
                f"choices must be a list of at least one value, got {options!r:.60};"
                " write: choices: [a, b]",
                name=at,
            )
            return None
        # As JSON, since == takes True and 1.0 for 1.
        written = [json.dumps(option, sort_keys=True) for option in options]
        for i, option in enumerate(options):
            if written[i] in written[:i]:
                self.refuse(
                    (*at, "choices", i),
                    f"choices must differ, got {option!r:.60} twice; remove one",
                    name=at,
                )
                return None
        texts = labels(options)
        nodes = tuple(
            self._node(option, (*at, "choices", i), _join(name, text), shape)
            or Fixed(None, (*at, "choices", i))
            for i, (option, text) in enumerate(zip(options, texts, strict=True))
        )
        return Choices(name or self.prefix, nodes, texts, at)

    def _range(self, value: dict[str, Json], at: Keys, name: str, shape: Shape) -> Node | None:
        before = len(self.mistakes)
        for key in value:
            if key not in RANGE_KEYS:
                meant = difflib.get_close_matches(key, RANGE_KEYS, n=1)
                self.refuse(
                    (*at, key),
                    f"a range has low, high, log and step, got {key!r}; did you mean {meant[0]!r}?",
                    key=True,
                    name=at,
                )
        for key in ("low", "high"):
            if key not in value:
                self.refuse(at, f"a range needs both ends, {key} is missing; add {key}: NUMBER")
            elif not _is_number(value[key]):
                self._not_a_number(at, key, value[key])
        log, step = value.get("log", False), value.get("step")
        if not isinstance(log, bool):
            self.refuse((*at, "log"), f"log must be true or false, got {log!r}", name=at)
        if step is not None and not _is_number(step):
            self._not_a_number(at, "step", step)
        if len(self.mistakes) > before:
            return None
        low, high = value["low"], value["high"]
        numbers = [n for n in (low, high, step) if n is not None]
        integer = shape.whole_numbers(all(isinstance(n, int) for n in numbers))
        if not low < high:
            self.refuse(
                (*at, "low"),
                f"low < high must hold, got low={low}, high={high};"
                " exchange them, or write a fixed value",
                name=at,
            )
        span = high - low
        if not _is_number(span):
            self.refuse(at, f"high - low must be a finite number, got low={low}, high={high}")
            return None
        if log and low <= 0:
            self.refuse(
                (*at, "low"),
                f"a log range needs low > 0, got low={low}; raise low or remove log",
                name=at,
            )
        if step is not None and step <= 0:
            self.refuse((*at, "step"), f"step > 0 must hold, got {step}", name=at)
        elif step is not None and log:
            self.refuse((*at, "step"), "log and step exclude each other; remove one", name=at)
        elif step is not None and span / step > MAX_STEPS:
            self.refuse((*at, "step"), f"a range has at most 2**53 steps, got step={step}", name=at)
        elif step is not None and span > 0 and not is_multiple(span, step):
            last = Range(name, low, high, False, step).value(math.floor(span / step))
            self.refuse(
                (*at, "step"),
                f"step must divide high - low, got low={low}, high={high}, step={step};"
                + (f" high={last:.15g} would do" if step < span else " it must not exceed it"),
                name=at,
            )
        if integer and not all(float(n).is_integer() for n in numbers):
            self.refuse(
                at,
                f"the field holds whole numbers, got low={low}, high={high}"
                + (f", step={step}" if step is not None else ""),
            )
        if len(self.mistakes) > before:
            return None
        return Range(name, low, high, log, step, integer, at)

    def _not_a_number(self, at: Keys, key: str, value: Json) -> None:
        self.refuse((*at, key), f"{key} must be a finite number, got {value!r:.60}", name=at)


def _is_part(value: dict[str, Json], shape: Shape) -> bool:
    """Whether the model has a part with just these fields here, say `low` and `high` of a band."""
    known = shape.inside(value).known_keys()
    return known is not None and set(value) <= set(known)


def _is_number(value: Any) -> bool:
    """A number that a float can hold; an int may be larger than that."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name and part else name or part


def config_path(at: Keys) -> Keys:
    """The path in a config of what stands at a path in the document."""
    kept: list[str | int] = []
    for key in at:
        if isinstance(key, int) and kept and kept[-1] == "choices":
            kept.pop()
        else:
            kept.append(key)
    return tuple(kept)
