"""Which values of a config may differ between the lanes of a pack, and binding them to tensors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from hpo.train.settings import per_lane

if TYPE_CHECKING:
    import torch

Model = TypeVar("Model", bound=BaseModel)


def knobs(config: BaseModel) -> dict[str, float]:
    """Per-lane values by dotted path, without those at their neutral value."""
    return dict(_knobs(config, ""))


def tensors(config: BaseModel, like: torch.Tensor) -> dict[str, torch.Tensor]:
    """Per-lane values by dotted path, each [], on the device and in the precision of `like`."""
    return {path: like.new_tensor(value) for path, value in knobs(config).items()}


def fusion_key(config: BaseModel) -> str:
    """What two configs must have in common to train as one program: all but the knobs' values."""
    common = bind(config, dict.fromkeys(knobs(config), "per lane"))
    return json.dumps(common.model_dump(mode="json", warnings=False), sort_keys=True)


def bind(config: Model, values: Mapping[str, object]) -> Model:
    """A copy of the config with `values` (by dotted path) in place of its per-lane numbers.

    The values are 0-d tensors as a rule, so a formula reads `self.strength * w` whether it runs for
    one trial or for many. They are not validated.

    Raises:
        KeyError: a path names no per-lane field.
    """
    here: dict[str, Any] = {}
    below: dict[str, dict[str, object]] = {}
    for path, value in values.items():
        head, _, rest = path.partition(".")
        if rest:
            below.setdefault(head, {})[rest] = value
        elif head in per_lane(type(config)):
            here[head] = value
        else:
            raise KeyError(f"{head!r} is not a per-lane field of {type(config).__name__}")
    for head, inner in below.items():
        old = getattr(config, head)
        mapping = head in per_lane(type(config))
        here[head] = {**old, **inner} if mapping else bind(old, inner)
    return config.model_copy(update=here)


def _knobs(config: BaseModel, prefix: str) -> Iterator[tuple[str, float]]:
    marks = per_lane(type(config))
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from _knobs(value, f"{prefix}{name}.")
        elif name in marks:
            path = prefix + name
            entries = (
                {f"{path}.{key}": each for key, each in value.items()}
                if isinstance(value, dict)
                else {path: value}
            )
            yield from ((p, each) for p, each in entries.items() if each != marks[name].neutral)
