"""A document against a model, without distributions: all mistakes, each at its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hpo.errors import Mistake
from hpo.records import Json
from hpo.space.document import Document, Keys, dotted
from hpo.space.messages import describe, input_path, not_a_number, unknown_key
from hpo.space.model import Shape

M = TypeVar("M", bound=BaseModel)


def validate(document: Document, model: type[M]) -> tuple[M | None, list[Mistake]]:
    """The model's instance, or else why there is none."""
    mistakes = [
        Mistake(document.place(path), dotted(path), not_a_number(value))
        for path, value in _truths(Shape(model), document.data)
    ]
    try:
        valid = model.model_validate(document.data)
        return (None if mistakes else valid), mistakes
    except ValidationError as error:
        errors = error.errors(include_url=False)
    for e in errors:
        path = input_path(e, document.data)
        if e["type"] == "extra_forbidden":
            known = _known_keys(Shape(model), document, path[:-1])
            message, key = unknown_key(str(path[-1]), known), True
        else:
            message, key = describe(e), False
        mistakes.append(Mistake(document.place(path, key), dotted(path), message))
    return None, mistakes


def _truths(shape: Shape, data: Json, path: Keys = ()) -> Iterator[tuple[Keys, bool]]:
    """Where true or false stands in the place of a number."""
    if isinstance(data, dict):
        inner = shape.inside(data)
        for key, value in data.items():
            yield from _truths(inner.field(key), value, (*path, key))
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from _truths(shape.element(i), value, (*path, i))
    elif isinstance(data, bool) and shape.wants_number():
        yield path, data


def _known_keys(shape: Shape, document: Document, path: Keys) -> list[str]:
    data = document.data
    for key in path:
        inner = shape.inside(data) if isinstance(data, dict) else shape
        shape = inner.field(key) if isinstance(key, str) else inner.element(key)
        data = data[key]
    return shape.inside(data).known_keys() or []
