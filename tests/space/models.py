"""A config model with something of everything."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sgd(Part):
    kind: Literal["sgd"] = "sgd"
    momentum: float = Field(0.9, ge=0, lt=1)


class Adam(Part):
    kind: Literal["adam"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)


class Clip(Part):
    """Has a field that is named like its kind."""

    kind: Literal["clip"] = "clip"
    clip: Sgd = Sgd()


class Penalty(Part):
    strength: float = Field(0.0, ge=0, le=1)


class Config(Part):
    epochs: int = Field(ge=1, le=100)
    lr: float = Field(0.1, gt=0, le=1)
    widths: list[int] = [8]
    layers: list[Penalty] = []
    act: Literal["relu", "tanh"] = "relu"
    bias: bool = True
    optimizer: Annotated[Sgd | Adam | Clip, Field(discriminator="kind")] = Sgd()
    penalty: Penalty | None = None
    even: int = 2
    warmup: float = Field(0.0, ge=0, le=1)
    decay: float = Field(0.0, ge=0, le=1)

    @field_validator("even")
    @classmethod
    def _even(cls, even: int) -> int:
        if even % 2:
            raise ValueError("must be even")
        return even

    @model_validator(mode="after")
    def _fits(self) -> Config:
        if self.warmup + self.decay > 1:
            raise ValueError("warmup + decay must be at most 1")
        return self


class Lenient(Config):
    """Ignores keys that it does not know, as Pydantic's models do by default."""

    model_config = ConfigDict(extra="ignore")
