"""What a Pydantic model says about the value at a place, read from its annotations.

Pydantic itself judges values; this only answers what it does not: which keys are known, which kinds
there are, and whether a number is whole.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import AliasChoices, BaseModel, RootModel
from pydantic.fields import FieldInfo

from hpo.records import Json

ANYTHING: Any = Any


@dataclass(frozen=True, slots=True)
class Shape:
    """The annotation that holds at one place; `typing.Any` where nothing is known."""

    annotation: Any = ANYTHING

    def members(self) -> list[Any]:
        """The alternatives of a union, or the one type there is."""
        found: list[Any] = []
        todo = [self.annotation]
        while todo:
            annotation = todo.pop(0)
            origin = get_origin(annotation)
            if origin is Annotated or isinstance(annotation, FieldInfo):
                todo.insert(0, get_args(annotation)[0])
            elif origin is Union or origin is types.UnionType:
                todo[:0] = get_args(annotation)
            elif type(annotation).__name__ == "TypeAliasType":
                todo.insert(0, annotation.__value__)
            elif isinstance(annotation, NewType):
                todo.insert(0, annotation.__supertype__)
            else:
                found.append(annotation)
        return found

    def models(self) -> list[type[BaseModel]]:
        return [m for m in self.members() if isinstance(m, type) and issubclass(m, BaseModel)]

    def inside(self, value: Mapping[str, Json]) -> Shape:
        """The shape of the very model that a mapping is meant for, chosen by its tags."""
        models = self.models()
        fitting = models if len(models) == 1 else [m for m in models if _tags_fit(m, value)]
        if len(fitting) == 1:
            return Shape(fitting[0])
        if not models and any(get_origin(m) is list for m in self.members()):
            return self.element(0).inside(value)  # one, where a list of them is known as well
        others = [m for m in self.members() if get_origin(m) in (dict, Mapping) or _hinted(m)]
        return Shape(others[0]) if others and not models else Shape()

    @property
    def model(self) -> type[BaseModel] | None:
        models = self.models()
        return models[0] if len(models) == 1 else None

    def known_keys(self) -> list[str] | None:
        """The keys a mapping of this shape may have; `None` if any."""
        if self.model is None or self.model.model_config.get("extra") == "allow":
            return None
        if issubclass(self.model, RootModel):
            return None
        return list(_fields(self.model))

    def field(self, key: str) -> Shape:
        if self.model is not None:
            info = _fields(self.model).get(key)
            return Shape(info.annotation) if info else Shape()
        if _hinted(self.annotation):
            hints = get_type_hints(self.annotation, include_extras=True)
            return Shape(hints[key]) if key in hints else Shape()
        args = get_args(self.annotation)
        return Shape(args[1]) if len(args) == 2 else Shape()

    def element(self, index: int) -> Shape:
        for member in self.members():
            args = get_args(member)
            if get_origin(member) is tuple and args and args[-1] is not Ellipsis:
                return Shape(args[index]) if index < len(args) else Shape()
            if args and get_origin(member) is not dict:
                return Shape(args[0])
        return Shape()

    def wants_number(self) -> bool:
        """Whether a number belongs here, and neither true nor false, which Pydantic takes for 1
        and 0."""
        members = self.members()
        return not {bool, object, Any} & set(members) and bool({int, float, Decimal} & set(members))

    def whole_numbers(self, written_whole: bool) -> bool:
        """Whether a number here is an int: by the annotation, or else as it is written."""
        members = self.members()
        if float in members or Decimal in members:
            return False
        return int in members or written_whole


def _hinted(annotation: Any) -> bool:
    """Whether fields can be read off the hints of a class that is no model."""
    return is_dataclass(annotation) or is_typeddict(annotation)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields by every name under which they can be given."""
    found: dict[str, FieldInfo] = {}
    by_name = model.model_config.get("populate_by_name") or model.model_config.get(
        "validate_by_name"
    )
    for name, info in model.model_fields.items():
        alias = info.validation_alias or info.alias
        names = alias.choices if isinstance(alias, AliasChoices) else [alias]
        aliases = [a for a in names if isinstance(a, str)]
        if not aliases or by_name:
            found[name] = info
        found.update(dict.fromkeys(aliases, info))
    return found


def _tags_fit(model: type[BaseModel], value: Mapping[str, Json]) -> bool:
    """Whether the literal fields of `model` admit what `value` says there."""
    for name, info in _fields(model).items():
        if get_origin(info.annotation) is Literal:
            given = value.get(name, info.default)
            if not isinstance(given, dict) and given not in get_args(info.annotation):
                return False
    return True
