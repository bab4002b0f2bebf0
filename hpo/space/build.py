"""From a document to a tree: what is a range, what are choices, and whether each is well formed."""

from __future__ import annotations

import difflib
import json

from hpo.errors import Mistake
from hpo.records import Json
from hpo.space.document import Document, Keys, dotted
from hpo.space.messages import did_you_mean
from hpo.space.model import Shape
from hpo.space.ranges import Range, Scale
from hpo.space.rules import broken, is_number
from hpo.space.tree import Array, Choices, Fixed, Node, Object, labels

RANGE_KEYS = ("low", "high", "log", "step")


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
            self._node(option, (*at, "choices", i), _inside(name, option, text), shape)
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
            elif not is_number(value[key]):
                self._not_a_number(at, key, value[key])
        log, step = value.get("log", False), value.get("step")
        if not isinstance(log, bool) and log != "complement":
            self.refuse(
                (*at, "log"),
                f"log must be true, false or complement, got {log!r:.60}"
                + (did_you_mean(log, ["complement"]) if isinstance(log, str) else ""),
                name=at,
            )
        if step is not None and not is_number(step):
            self._not_a_number(at, "step", step)
        if len(self.mistakes) > before:
            return None
        low, high = value["low"], value["high"]
        whole = all(isinstance(n, int) for n in (low, high, step) if n is not None)
        scale: Scale = "complement" if log == "complement" else "log" if log else "linear"
        found = Range(name, low, high, scale, step, shape.whole_numbers(whole), at)
        for wrong, message in broken(found):
            self.refuse(at if wrong is None else (*at, wrong), message, name=at)
        return None if len(self.mistakes) > before else found

    def _not_a_number(self, at: Keys, key: str, value: Json) -> None:
        self.refuse((*at, key), f"{key} must be a finite number, got {value!r:.60}", name=at)


def _is_part(value: dict[str, Json], shape: Shape) -> bool:
    """Whether the model has a part with just these fields here, say `low` and `high` of a band."""
    known = shape.inside(value).known_keys()
    return known is not None and set(value) <= set(known)


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name and part else name or part


def _inside(name: str, option: Json, label: str) -> str:
    """What the names of parameters inside an option begin with.

    An option with one key is called by it, as are its parameters: once is enough.
    """
    one_key = isinstance(option, dict) and list(option) == [label] and not is_distribution(option)
    return name if one_key else _join(name, label)


def config_path(at: Keys) -> Keys:
    """The path in a config of what stands at a path in the document."""
    kept: list[str | int] = []
    for key in at:
        if isinstance(key, int) and kept and kept[-1] == "choices":
            kept.pop()
        else:
            kept.append(key)
    return tuple(kept)
