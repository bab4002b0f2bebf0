"""What an augmentation is: a random change of the training batch that leaves its meaning."""

from __future__ import annotations

from typing import ClassVar, Literal

from hpo.errors import InputError
from hpo.train.layout import Layout
from hpo.train.regularizers.base import Regularizer
from hpo.train.task import Window

Examples = Literal["any", "images", "series"]

# The number of dimensions of one example.
_DIMENSIONS: dict[Examples, tuple[int, ...]] = {"any": (1, 2, 3), "images": (3,), "series": (1, 2)}
_HINTS: dict[Examples, str] = {
    "any": "",
    "images": "leave it out, or give x as images: [N, height, width] or [N, channels, height, "
    "width]",
    "series": "leave it out; for images there are shift, crop and color_jitter",
}


class AugmentationPart(Regularizer):
    """Replaces each training batch before the model sees it; evaluation sees the data as they are.

    It overrides `on_batch`, for inputs that are scaled already: a 0 that comes in from outside is a
    feature's mean under `data.scaling: zscore`, its least value under minmax.

    Attributes:
        examples: what it is for: images [C, H, W]; series [L] or [C, L], a table whose columns
            follow one another in time among them; or any.
    """

    examples: ClassVar[Examples] = "any"

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        if isinstance(inputs, Window):
            raise InputError(
                f"{name} is for numbers, got a text",
                "leave it out; dropout.hidden drops from the characters' embeddings, too",
            )
        if len(inputs) not in _DIMENSIONS[self.examples]:
            raise InputError(
                f"{name} is for {self.examples}, got examples of shape {inputs}",
                _HINTS[self.examples],
            )

    def counts_in_deviations(self) -> bool:
        """Whether a strength in play is in units of the inputs' standard deviation."""
        return False
