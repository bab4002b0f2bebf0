"""The base of all settings, and the mark that tells per-lane fields from structural ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True, slots=True)
class PerLane:
    """Marks a float field, or a mapping to floats, whose values may differ between trials that
    train as one program; the keys of a mapping may not.

    Fields without this mark are structural: trials share a program only where all of those agree.

    Args:
        neutral: the value that equals absence, where there is one. A field at its neutral value is
            structural, too: what it would compute is left out of the program.
    """

    neutral: float | None = None


class Settings(BaseModel):
    """Settings of a part: frozen, closed, and finite unless a field says otherwise.

    Attributes:
        reference: where the method comes from.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        ser_json_inf_nan="strings",  # JSON has no infinity, and null would not come back as one
        validate_default=True,
    )
    reference: ClassVar[str] = ""

    def in_play(self, field: str) -> bool:
        """Whether a per-lane field does anything, decided without looking into a tensor.

        Plain numbers are compared with the field's neutral value. A tensor is always in play:
        `lanes.bind` puts tensors only where the number was not neutral.
        """
        value = getattr(self, field)
        return not isinstance(value, float) or value != per_lane(type(self))[field].neutral


@cache
def per_lane(model: type[BaseModel]) -> dict[str, PerLane]:
    """The per-lane fields of a settings class (not of the settings inside it)."""
    return {
        name: mark
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, PerLane)
    }
