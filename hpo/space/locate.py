"""The inverse of drawing: from a config to the point of the space that it is."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hpo.errors import InputError
from hpo.records import Json
from hpo.space.document import Keys, dotted
from hpo.space.messages import show, unknown_key
from hpo.space.ranges import Range
from hpo.space.rules import is_number
from hpo.space.tree import Array, Choices, Fixed, Node, Object

Chosen = dict[str, float]


class OutsideSpace(InputError):
    """A config is not in a space.

    Args:
        keys: where in the config.
        message: the rule that is broken and the value that breaks it.
    """

    def __init__(self, keys: Keys, message: str) -> None:
        super().__init__(message)
        self.keys = keys

    @property
    def path(self) -> str:
        return dotted(self.keys)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.keys else self.message

    def __reduce__(self) -> tuple[type[OutsideSpace], tuple[Keys, str]]:
        return OutsideSpace, (self.keys, self.message)


def locate(root: Node, config: Json, partial: bool = False) -> Mapping[str, float]:
    """What must be chosen to draw a config: values and indices of options, by parameter name.

    Of several options that fit, the first is taken that gives the very same JSON, or else the first
    that gives equal numbers (1 for 1.0).

    Args:
        config: as drawn, before any model adds defaults to it.
        partial: keys of mappings may be missing, which leaves their parameters open.

    Raises:
        OutsideSpace: no choice gives this config.
    """
    return _Search(partial, exact=False).walk(root, config, ())


class _Search:
    """Walks tree and config side by side.

    Args:
        exact: numbers must be written as they would be drawn, not merely be equal to that.
    """

    def __init__(self, partial: bool, exact: bool) -> None:
        self.partial = partial
        self.exact = exact

    def walk(self, node: Node, value: Json, at: Keys) -> Chosen:
        match node:
            case Fixed():
                if not self._same(node.value, value):
                    raise OutsideSpace(at, f"must be {show(node.value)}, got {show(value)}")
                return {}
            case Range():
                return {node.name: self._number(node, value, at)}
            case Choices():
                return self._option(node, value, at)
            case Object():
                return self._mapping(node, value, at)
            case Array():
                return self._list(node, value, at)

    def _number(self, node: Range, value: Json, at: Keys) -> float:
        if not is_number(value) or not node.holds(value):
            kind = "a whole number" if node.integer else "a number"
            steps = f" in steps of {node.step}" if node.step is not None else ""
            raise OutsideSpace(
                at, f"must be {kind} from {node.low} to {node.high}{steps}, got {show(value)}"
            )
        found = node.nearest(value)
        if self.exact and not self._same(found, value):
            raise OutsideSpace(at, f"must be written {found}, got {show(value)}")
        return found

    def _option(self, node: Choices, value: Json, at: Keys) -> Chosen:
        if not self.exact:
            try:
                return _Search(self.partial, exact=True)._option(node, value, at)
            except OutsideSpace:
                pass
        refusals = []
        for index, option in enumerate(node.options):
            try:
                return {node.name: index, **self.walk(option, value, at)}
            except OutsideSpace as refusal:
                refusals.append(refusal)
        # What is wrong inside is worth telling if only one option can have been meant.
        inside = [r for r in refusals if r.keys not in (at, (*at, "kind"))]
        if len(inside) == 1:
            raise inside[0]
        raise OutsideSpace(at, f"must be one of {', '.join(node.labels)}, got {show(value)}")

    def _mapping(self, node: Object, value: Json, at: Keys) -> Chosen:
        if not isinstance(value, dict):
            raise OutsideSpace(at, f"must be a mapping, got {show(value)}")
        chosen: Chosen = {}
        # The kind first: a part of another kind has other keys, too.
        for key in sorted(node.items, key=lambda key: key != "kind"):
            if key in value:
                chosen |= self.walk(node.items[key], value[key], (*at, key))
            elif not self.partial:
                raise OutsideSpace((*at, key), "is missing; add it")
        for key in value:
            if key not in node.items:
                raise OutsideSpace((*at, key), unknown_key(key, node.items))
        return chosen

    def _list(self, node: Array, value: Json, at: Keys) -> Chosen:
        if not isinstance(value, list) or len(value) != len(node.items):
            raise OutsideSpace(at, f"must be a list of {len(node.items)}, got {show(value)}")
        chosen: Chosen = {}
        for i, (child, item) in enumerate(zip(node.items, value, strict=True)):
            chosen |= self.walk(child, item, (*at, i))
        return chosen

    def _same(self, mine: Json, given: Json) -> bool:
        """Whether two scalars are the same in JSON, or else equal; `true` never equals 1."""
        if self.exact or not (is_number(mine) and is_number(given)):
            return json.dumps(mine) == json.dumps(given)
        return mine == given
