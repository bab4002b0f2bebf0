"""A search space as a tree: values, mappings and lists, in which ranges and choices may stand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Union

from hpo.records import Json
from hpo.space.document import Keys
from hpo.space.ranges import Range


@dataclass(frozen=True, slots=True)
class Fixed:
    """A constant."""

    value: Json
    at: Keys = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Choices:
    """One of several values or sub-trees; parameters of a sub-tree exist only when it is chosen."""

    name: str
    options: tuple[Node, ...]
    labels: tuple[str, ...]
    at: Keys = field(default=(), compare=False)

    def from_unit(self, unit: float) -> int:
        """The index of the option at a place in `[0, 1)`, of which each has an equal share."""
        return int(unit * len(self.options))


@dataclass(frozen=True, slots=True)
class Object:
    items: Mapping[str, Node]
    at: Keys = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Array:
    items: tuple[Node, ...]
    at: Keys = field(default=(), compare=False)


Parameter = Range | Choices
Node = Union[Fixed, Range, Choices, Object, Array]  # noqa: UP007 (a recursive alias, as text below)

Choose = Callable[[Parameter], float]
"""Picks a value for a range, or the index of an option for choices."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One point of a space.

    Args:
        config: the concrete config.
        params: the active parameters by name: a number, or the label of the option.
        places: for each path in the config, the path in the study file that it came from.
    """

    config: Json
    params: Mapping[str, Json]
    places: Mapping[Keys, Keys]


def draw(root: Node, choose: Choose) -> Draw:
    """Walks the tree from the root, choosing where a value may vary."""
    params: dict[str, Json] = {}
    places: dict[Keys, Keys] = {}

    def walk(node: Node, path: Keys) -> Json:
        places.setdefault(path, node.at)
        match node:
            case Fixed():
                return node.value
            case Range():
                params[node.name] = node.nearest(choose(node))
                return params[node.name]
            case Choices():
                index = int(choose(node))
                params[node.name] = node.labels[index]
                places[path] = node.options[index].at
                return walk(node.options[index], path)
            case Object():
                return {key: walk(child, (*path, key)) for key, child in node.items.items()}
            case Array():
                return [walk(child, (*path, i)) for i, child in enumerate(node.items)]

    return Draw(walk(root, ()), params, places)


def parameters(root: Node, given: tuple[tuple[Choices, int], ...] = ()) -> Iterator[Located]:
    """Every parameter, in the order in which they are drawn, with the options it depends on."""
    match root:
        case Range():
            yield Located(root, given)
        case Choices():
            yield Located(root, given)
            for index, option in enumerate(root.options):
                yield from parameters(option, (*given, (root, index)))
        case Object():
            for child in root.items.values():
                yield from parameters(child, given)
        case Array():
            for child in root.items:
                yield from parameters(child, given)


@dataclass(frozen=True, slots=True)
class Located:
    """A parameter and the choices under which it exists."""

    parameter: Parameter
    given: tuple[tuple[Choices, int], ...]


def labels(options: list[Json]) -> tuple[str, ...]:
    """A short, unique text for each option: its `kind`, its keys, its value, or else its position.

    Ranges inside an option are no part of it: widening one must not rename its parameters.
    """
    texts = []
    for option in options:
        if isinstance(option, dict) and isinstance(option.get("kind"), str):
            texts.append(option["kind"])
        elif isinstance(option, dict):
            texts.append("+".join(option))
        elif isinstance(option, str):
            texts.append(option)
        elif isinstance(option, list) and len(json.dumps(option)) > 40:
            texts.append("")
        else:
            texts.append(json.dumps(option))
    plain = Counter(texts)
    return tuple(
        text if text and plain[text] == 1 and "#" not in text else f"{text}#{index}"
        for index, text in enumerate(texts)
    )
