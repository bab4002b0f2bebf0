"""Augmentations. To add one: copy a neighbour, and give it a line in `Augmentation`."""

from __future__ import annotations

from pydantic import Field

from hpo.train.augmentations.base import AugmentationPart
from hpo.train.augmentations.color_jitter import ColorJitter
from hpo.train.augmentations.crop import Crop
from hpo.train.augmentations.cutmix import Cutmix
from hpo.train.augmentations.cutout import Cutout
from hpo.train.augmentations.flip import Flip
from hpo.train.augmentations.mixup import Mixup
from hpo.train.augmentations.noise import Noise
from hpo.train.augmentations.scaling import Scaling
from hpo.train.augmentations.shift import Shift
from hpo.train.augmentations.time_shift import TimeShift
from hpo.train.settings import Settings

__all__ = [
    "Augmentation",
    "AugmentationPart",
    "ColorJitter",
    "Crop",
    "Cutmix",
    "Cutout",
    "Flip",
    "Mixup",
    "Noise",
    "Scaling",
    "Shift",
    "TimeShift",
]


class Augmentation(Settings):
    """Random changes of the training batches, one after the other in the order they stand."""

    shift: Shift | None = Field(None, description="images moved by a share of their size")
    crop: Crop | None = Field(None, description="crops of images with a margin")
    flip: Flip | None = Field(None, description="images turned left to right")
    color_jitter: ColorJitter | None = Field(None, description="brightness and contrast of images")
    cutout: Cutout | None = Field(None, description="a square of each image is blanked")
    time_shift: TimeShift | None = Field(None, description="series moved in time")
    scaling: Scaling | None = Field(None, description="series made larger or smaller")
    noise: Noise | None = Field(None, description="gaussian noise on every input")
    mixup: Mixup | None = Field(None, description="mixtures of two rows and of their targets")
    cutmix: Cutmix | None = Field(None, description="a box of each image is of another one")

    def parts(self) -> dict[str, AugmentationPart]:
        """The parts that are present, by key."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in fields.items() if part is not None}
