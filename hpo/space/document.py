"""YAML as plain data that remembers where everything stands.

Only JSON's types come out: no tags, no objects, no merge keys. Every error is a `StudyFileError`,
whatever the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hpo.errors import Mistake, Place, StudyFileError
from hpo.records import Json

Keys = tuple[str | int, ...]  # a path into nested data: keys of mappings, indices of lists

MAX_BYTES = 2**20
MAX_NODES = 50_000  # a file of 1 MiB written by hand has fewer; ten nested aliases have 10**10
MAX_DEPTH = 60
MAX_DIGITS = 1000  # Python refuses to write out ints of more than 4300, which a hex int can have

_CORE = "tag:yaml.org,2002:"
_HALF = "text must not end in the middle of a character, an escape such as \\ud83d is half of one"
_SCALARS = {_CORE + name for name in ("null", "bool", "int", "float", "str")}


def dotted(path: Keys) -> str:
    return ".".join(str(key) for key in path)


@dataclass
class Document:
    """Data and the places of its keys and values.

    Args:
        data: the parsed text.
        values: where the value at a path begins.
        keys: where the key that a path ends with begins.
    """

    data: Json
    values: dict[Keys, Place] = field(default_factory=dict)
    keys: dict[Keys, Place] = field(default_factory=dict)

    def place(self, path: Keys, key: bool = False) -> Place:
        """The place of the value (or its key) at `path`, or of the nearest thing around it."""
        if key and path in self.keys:
            return self.keys[path]
        while path not in self.values:
            path = path[:-1]
        return self.values[path]

    def part(self, path: Keys) -> Document:
        """The document below `path`."""
        data = self.data
        for key in path:
            data = data[key]

        def below(places: Mapping[Keys, Place]) -> dict[Keys, Place]:
            return {p[len(path) :]: place for p, place in places.items() if p[: len(path)] == path}

        return Document(data, below(self.values), below(self.keys))

    def set(self, names: Sequence[str], value: Json, place: Place) -> None:
        """Puts `value` where `names` lead, making mappings on the way; all of it stands at `place`.

        Names are keys of mappings or, in a list, indices.

        Raises:
            KeyError: they lead through something that is not a mapping or list.
        """
        data = self.data
        path: Keys = ()
        for i, name in enumerate(names):
            key = _key(data, name)
            path = (*path, key)
            if i == len(names) - 1:
                data[key] = value
            elif isinstance(data, dict) and key not in data:
                data[key] = {}
                self._put(path, place)
            data = data[key]
        for places in (self.values, self.keys):
            for old in [p for p in places if p[: len(path)] == path]:
                del places[old]
        self._put(path, place)

    def _put(self, path: Keys, place: Place) -> None:
        self.values[path] = self.keys[path] = place


def _key(data: Json, name: str) -> str | int:
    """What `name` means in a mapping, or in a list."""
    if isinstance(data, dict) and name:
        return name
    if isinstance(data, list) and name.isdecimal() and int(name) < len(data):
        return int(name)
    raise KeyError(name)


def read(path: Path) -> Document:
    """Reads and parses a file; its name in messages is `path` as given.

    Raises:
        StudyFileError: it cannot be read, is too large, or `parse` refuses it.
    """
    start = Place(str(path), 1, 1)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _refuse(start, f"a file is at most {MAX_BYTES} bytes, this one has {size}")
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise _refuse(start, f"a file is UTF-8 text, byte {error.start} is not") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _refuse(start, f"cannot be read: {reason or error}") from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Document:
    """Parses YAML 1.2.

    Raises:
        StudyFileError: it is not YAML, is too large or too deep once its aliases are written out,
            has duplicate keys, keys that are not strings, tags or merge keys.
    """
    start = Place(file, 1, 1)
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise _refuse(start, f"a file is at most {MAX_BYTES} bytes")
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # the later one counts, as YAML has it
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else start
        said = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise _refuse(place, f"this is not YAML: {said}") from None
    except RecursionError:
        raise _refuse(start, f"at most {MAX_DEPTH} levels of nesting are allowed") from None
    except Exception as error:  # the parser has more ways to fail than it documents
        lines = str(error).strip().splitlines()
        raise _refuse(start, f"this is not YAML: {lines[0] if lines else error!r}") from None
    if root is None:
        raise _refuse(start, "the file is empty")
    builder = _Builder(yaml, file)
    document = Document(builder.build(root, (), ()), builder.values, builder.keys)
    if builder.mistakes:
        raise StudyFileError(builder.mistakes)
    return document


def parse_value(text: str) -> Json:
    """One YAML value, as it may stand behind `path=` on the command line.

    Raises:
        StudyFileError: as `parse`.
    """
    return parse(text, "--set").data


def _characters(text: str) -> str | None:
    """Text with its characters whole; JSON escapes those beyond 16 bits as two halves each.

    `None` if there is half a character in it.
    """
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def _refuse(place: Place, message: str) -> StudyFileError:
    return StudyFileError([Mistake(place, "", message)])


class _Builder:
    """Turns YAML nodes into data and places, counting what aliases would multiply."""

    def __init__(self, yaml: Any, file: str) -> None:
        self.constructor = yaml.constructor
        self.file = file
        self.nodes = 0
        self.values: dict[Keys, Place] = {}
        self.keys: dict[Keys, Place] = {}
        self.mistakes: list[Mistake] = []

    def build(self, node: Node, path: Keys, above: tuple[int, ...]) -> Json:
        place = self.place(node)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _refuse(place, f"a file has at most {MAX_NODES} values once aliases are expanded")
        if len(path) > MAX_DEPTH:
            raise _refuse(place, f"at most {MAX_DEPTH} levels of nesting are allowed")
        if id(node) in above:
            raise _refuse(place, "an alias must not stand inside what it names")
        self.values[path] = place
        above = (*above, id(node))
        if isinstance(node, MappingNode) and node.tag == _CORE + "map":
            return dict(self.items(node, path, above))
        if isinstance(node, SequenceNode) and node.tag == _CORE + "seq":
            return [self.build(n, (*path, i), above) for i, n in enumerate(node.value)]
        return self.scalar(node, path, place)

    def items(
        self, node: MappingNode, path: Keys, above: tuple[int, ...]
    ) -> Iterable[tuple[str, Json]]:
        first: dict[str, Place] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node)
            if key_node.tag == _CORE + "merge":
                self.refuse(place, path, "merge keys (<<) are not allowed; write the keys out")
            elif not isinstance(key_node, ScalarNode) or key_node.tag not in _SCALARS:
                self.refuse(place, path, "a key must be a plain string")
            elif key_node.tag != _CORE + "str":
                self.refuse(place, path, f"a key must be a string, got {key_node.value}; quote it")
            elif (key := _characters(key_node.value)) is None:
                self.refuse(place, path, _HALF)
            elif key in first:
                self.refuse(
                    place,
                    (*path, key),
                    f"a key stands once, this one stands at line {first[key].line} too;"
                    " remove one of the two",
                )
            else:
                first[key] = self.keys[(*path, key)] = place
                yield key, self.build(value_node, (*path, key), above)

    def scalar(self, node: Node, path: Keys, place: Place) -> Json:
        if node.tag == _CORE + "timestamp":  # JSON has no dates: text stays text
            return node.value
        if not isinstance(node, ScalarNode) or node.tag not in _SCALARS:
            self.refuse(place, path, f"tags are not allowed, got {node.tag}; remove the tag")
            return None
        if node.tag == _CORE + "str":
            text = _characters(node.value)
            if text is None:
                self.refuse(place, path, _HALF)
            return text
        kind = node.tag.removeprefix(_CORE)
        try:
            if len(node.value) > MAX_DIGITS:
                raise ValueError
            value = self.constructor.construct_object(node)
        except Exception:
            self.refuse(place, path, f"cannot be read as {kind}: {node.value[:40]!r}; quote it")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.refuse(place, path, f"numbers are finite, got {node.value}; leave the key out")
        return value

    def place(self, node: Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def refuse(self, place: Place, path: Keys, message: str) -> None:
        self.mistakes.append(Mistake(place, dotted(path), message))
