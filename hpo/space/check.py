"""Checks a space against the model of a config, before anything runs.

The model itself is the judge: it is given configs in which, one at a time, every end of every range
and every choice appears, and its complaints are traced back to the line they come from.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hpo.errors import StudyFileError
from hpo.space.build import Builder
from hpo.space.document import Document, Keys
from hpo.space.messages import describe, input_path, not_a_number, show, unknown_key
from hpo.space.model import Shape
from hpo.space.ranges import Range
from hpo.space.space import Space
from hpo.space.tree import Array, Choices, Draw, Fixed, Located, Node, Object, Parameter, draw
from hpo.space.tree import parameters as located

SAMPLES = 400
LEAST_VALID = 0.05


def check(document: Document, config_type: type[BaseModel] | None, prefix: str = "space") -> Space:
    """The space a document describes.

    Args:
        document: the config tree with distributions in it.
        config_type: the model of a config; `None` lets any mapping pass.
        prefix: what the paths in messages begin with.

    Raises:
        StudyFileError: with every mistake found.
    """
    builder = Builder(document, prefix)
    shape = Shape(config_type) if config_type else Shape()
    if not isinstance(document.data, dict):
        builder.refuse((), "must be a mapping, the config with distributions in it")
        raise StudyFileError(builder.mistakes)
    root = builder.build(shape)
    space = Space(root, config_type, document.data)
    _same_names(builder, space)
    if config_type is None:
        _mappings(builder, space)
    else:
        _against_annotations(builder, root, shape)
        _probe(builder, space)
    if not builder.mistakes and space.parameters:
        _sample(builder, space)
    if builder.mistakes:
        raise StudyFileError(builder.mistakes)
    return space


def _same_names(builder: Builder, space: Space) -> None:
    """A key with a dot in it can make two paths look the same."""
    count = Counter(here.parameter.name for here in space.parameters)
    for here in space.parameters:
        name = here.parameter.name
        if count[name] > 1:
            builder.refuse(
                here.parameter.at,
                f"{count[name]} parameters are called {name!r}; rename their keys",
            )


def _mappings(builder: Builder, space: Space) -> None:
    """A distribution over whole configs may have an option that is none."""
    for drawn in probes(space.root):
        if not isinstance(drawn.config, dict):
            builder.refuse(drawn.places[()], f"must be a mapping, got {show(drawn.config)}")


def _against_annotations(builder: Builder, node: Node, shape: Shape) -> None:
    """What the model may be set to let pass: keys it does not know, and true for a number."""
    match node:
        case Fixed():
            if isinstance(node.value, bool) and shape.wants_number():
                builder.refuse(node.at, not_a_number(node.value))
        case Object():
            constant = {key: getattr(child, "value", {}) for key, child in node.items.items()}
            inner = shape.inside(constant)
            known = inner.known_keys()
            for key, child in node.items.items():
                if known is not None and key not in known:
                    builder.refuse((*node.at, key), unknown_key(key, known), key=True)
                else:
                    _against_annotations(builder, child, inner.field(key))
        case Array():
            for i, child in enumerate(node.items):
                _against_annotations(builder, child, shape.element(i))
        case Choices():
            for option in node.options:
                _against_annotations(builder, option, shape)


def probes(root: Node) -> Iterator[Draw]:
    """Configs that together take every choice and both ends of every range, a plain one first."""
    yield _with(root, {})
    for here in located(root):
        for value in _extremes(here.parameter):
            yield _with(root, _activate(here) | {here.parameter.name: value})


def _extremes(parameter: Parameter) -> Sequence[float]:
    match parameter:
        case Range():
            return parameter.low, parameter.high
        case Choices():
            return range(len(parameter.options))


def _activate(here: Located) -> dict[str, float]:
    return {choices.name: index for choices, index in here.given}


def _with(root: Node, chosen: dict[str, float]) -> Draw:
    def choose(p: Parameter) -> float:
        return chosen.get(p.name, p.low if isinstance(p, Range) else 0)

    return draw(root, choose)


def _probe(builder: Builder, space: Space) -> None:
    ranges = {p.at: p for here in located(space.root) if isinstance(p := here.parameter, Range)}
    for drawn in probes(space.root):
        for error in _errors(space, drawn):
            if error["type"] == "extra_forbidden":
                continue  # told already, with what was meant
            path = input_path(error, drawn.config)
            at = _origin(drawn, path)
            if error["type"] == "missing":
                at = (*_origin(drawn, path[:-1]), path[-1])
            if at in builder.gaps or _combination(space.root, error, drawn, path):
                continue
            message = describe(error)
            if at in ranges:
                end = "low" if drawn.params[ranges[at].name] == ranges[at].low else "high"
                message = f"{end} {message}; the range must lie within the field's bounds"
                at = (*at, end)
            builder.refuse(at, message, name=path)


def _errors(space: Space, drawn: Draw) -> list[ErrorDetails]:
    try:
        space.config(drawn.config)
    except ValidationError as error:
        return error.errors(include_url=False)
    except Exception:  # a validator that breaks on this config rejects it, see `Space.rejects`
        return []
    return []


def _origin(drawn: Draw, path: Keys) -> Keys:
    """The path in the study file of the value at `path` in the config."""
    for cut in range(len(path), -1, -1):
        if path[:cut] in drawn.places:
            return (*drawn.places[path[:cut]], *path[cut:])
    return path


def _combination(root: Node, error: ErrorDetails, drawn: Draw, path: Keys) -> bool:
    """Whether a validator rejected several values together, some of which vary.

    Such draws are drawn again when the study runs. A value that is wrong in itself is a mistake.
    """
    if error["type"] not in ("value_error", "assertion_error"):
        return False
    at = root
    for key in path:
        at = _chosen(at, drawn)
        if isinstance(at, Object) and key in at.items:
            at = at.items[str(key)]
        elif isinstance(at, Array) and isinstance(key, int):
            at = at.items[key]
        else:
            return False
    at = _chosen(at, drawn)
    return isinstance(at, (Object, Array)) and any(True for _ in located(at))


def _chosen(node: Node, drawn: Draw) -> Node:
    """The option that was drawn, where a node leaves the choice."""
    while isinstance(node, Choices):
        node = node.options[node.labels.index(str(drawn.params[node.name]))]
    return node


def _sample(builder: Builder, space: Space) -> None:
    """Refuses a space of which hardly any point is valid."""
    rng = random.Random(0)

    def choose(parameter: Parameter) -> float:
        if isinstance(parameter, Choices):
            return rng.randrange(len(parameter.options))
        return parameter.from_unit(rng.random())

    reasons = Counter(space.rejects(space.draw(choose).config) for _ in range(SAMPLES))
    valid = reasons.pop(None, 0)
    if valid < LEAST_VALID * SAMPLES:
        why = reasons.most_common(1)[0][0]
        builder.refuse(
            (),
            f"at least {LEAST_VALID:.0%} of the space must be valid, {valid} of {SAMPLES} draws"
            f" were; most often: {why}; narrow the ranges",
        )
