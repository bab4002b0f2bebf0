"""All built-in parts, for listings. Importing it loads neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isclass
from typing import Any, get_args

from pydantic import BaseModel

from hpo.train.augmentations import Augmentation
from hpo.train.config import TrainConfig
from hpo.train.models import NormalizedModel
from hpo.train.protocols import Protocol
from hpo.train.regularizers import Regularization


def families() -> dict[str, list[type[BaseModel]]]:
    """The settings classes that may stand at each key of a config, by key.

    A class has its fields with ranges and descriptions, its `reference`, and, where the key takes
    one of several, a field `kind`. Those of `augmentation`, `regularization` and `protocol` stand
    under keys of their own, and `normalization` is a key of `model`, where it has one.
    """
    found = {
        name: list(_classes(field.annotation)) for name, field in TrainConfig.model_fields.items()
    }
    keyed: dict[str, type[BaseModel]] = {
        "augmentation": Augmentation,
        "regularization": Regularization,
        "protocol": Protocol,
    }
    for name, family in keyed.items():
        found[name] = [
            part for field in family.model_fields.values() for part in _classes(field.annotation)
        ]
    normalization = NormalizedModel.model_fields["normalization"]
    found["normalization"] = list(_classes(normalization.annotation))
    return {name: classes for name, classes in found.items() if classes}


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes(argument)
