"""The grid: every point of a finite space once, in a fixed order, without listing them.

A conditional branch contributes the sum of its options' sizes, everything else multiplies. Points
are numbered from 0; the last parameter varies fastest.
"""

from __future__ import annotations

from math import prod

from hpo.errors import Mistake
from hpo.space import Document, Range, dotted
from hpo.space.build import config_path
from hpo.space.tree import Array, Choices, Draw, Fixed, Node, Object, Parameter, draw
from hpo.space.tree import parameters as located


def continuous(root: Node, document: Document, prefix: str = "space") -> list[Mistake]:
    """What keeps a space from being a grid: ranges with infinitely many values."""
    mistakes = []
    for here in located(root):
        parameter = here.parameter
        if isinstance(parameter, Range) and parameter.count is None:
            remedy = "add a step, or " if parameter.scale == "linear" else ""
            mistakes.append(
                Mistake(
                    document.place(parameter.at),
                    f"{prefix}.{dotted(config_path(parameter.at))}",
                    "a grid needs finitely many values, got every number from"
                    f" {parameter.low} to {parameter.high};"
                    f" {remedy}write choices: [...]",
                )
            )
    return mistakes


def size(node: Node) -> int:
    """How many points the grid has."""
    match node:
        case Fixed():
            return 1
        case Range():
            assert node.count is not None, "checked when the study file was read"
            return node.count
        case Choices():
            return sum(size(option) for option in node.options)
        case Object():
            return prod(size(child) for child in node.items.values())
        case Array():
            return prod(size(child) for child in node.items)


def point(root: Node, index: int) -> Draw:
    """The point number `index`, in `[0, size(root))`."""
    chosen: dict[str, float] = {}
    _assign(root, index, chosen)

    def choose(parameter: Parameter) -> float:
        return chosen[parameter.name]

    return draw(root, choose)


def _assign(node: Node, index: int, chosen: dict[str, float]) -> None:
    """Splits an index as a number with one digit for each child."""
    match node:
        case Range():
            chosen[node.name] = node.value(index)
        case Choices():
            for i, option in enumerate(node.options):
                if index < size(option):
                    chosen[node.name] = i
                    return _assign(option, index, chosen)
                index -= size(option)
        case Object() | Array():
            children = node.items.values() if isinstance(node, Object) else node.items
            for child in reversed(list(children)):
                index, digit = divmod(index, size(child))
                _assign(child, digit, chosen)
