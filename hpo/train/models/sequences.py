"""What models of sequences share: how characters and series enter."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import ModelPart, OnHidden
from hpo.train.task import Task, Window

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")

EMBEDDING = "embedding.weight"
POSITIONS = "positions.weight"


class SequenceModel(ModelPart):
    """Takes windows of characters, int64 [B, L], and scores each next character; or takes a series,
    [B, channels, L] or [B, L], and gives one answer for the whole of it."""

    tasks: ClassVar[frozenset[Task]] = frozenset(
        {"classification", "regression", "next_character", "multitask"}
    )
    exempt: ClassVar[frozenset[str]] = frozenset({EMBEDDING, POSITIONS})

    def positions(self, inputs: tuple[int, ...]) -> int:
        return inputs.length if isinstance(inputs, Window) else inputs[-1]


def length_and_channels(inputs: tuple[int, ...]) -> tuple[int, int]:
    """Steps of a series, and numbers at each.

    Raises:
        InputError: examples of this shape are no series.
    """
    if len(inputs) > 2:
        raise InputError(
            "a model of sequences needs a text, or series (length,) or (channels, length), got "
            f"examples of shape {inputs}",
            "use model kind cnn for images; if x is [N, channels, length], set data.series: true",
        )
    return inputs[-1], inputs[0] if len(inputs) == 2 else 1


def embed(params: Named, characters: torch.Tensor, on_hidden: OnHidden) -> torch.Tensor:
    """A vector for each character, [B, L, width]."""
    return on_hidden(F.embedding(characters, params[EMBEDDING]), "embedding")


def by_step(series: torch.Tensor) -> torch.Tensor:
    """A series step by step, [B, L, channels]."""
    return series.unsqueeze(2) if series.ndim == 2 else series.transpose(1, 2)
