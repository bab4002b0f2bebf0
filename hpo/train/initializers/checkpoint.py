from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.errors import InputError
from hpo.train import checkpoint
from hpo.train.data.files import find_file
from hpo.train.initializers.base import InitializerPart
from hpo.train.initializers.distributions import Drawn
from hpo.train.initializers.scaled import Kaiming
from hpo.train.layout import Layout

if TYPE_CHECKING:
    import torch

    from hpo.train.models import ModelPart

Shapes = Mapping[str, tuple[int, ...]]


class Checkpoint(InitializerPart):
    """Weights that were trained before, by name, from the `model.safetensors` of a trial or another
    safetensors file.

    The file must have every parameter of the model, in its shape, and no other; scalings and
    running statistics that a trial has left beside its own are passed over, since the data of this
    one has its own.
    """

    reference: ClassVar[str] = "Yosinski et al. 2014, arXiv:1411.1792 (how layers transfer)"

    kind: Literal["checkpoint"] = "checkpoint"
    path: str = Field(min_length=1, description="the file; relative to the study file's folder")
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="of the file, which then must not change"
    )
    head: Literal["keep", "random"] = Field(
        "keep",
        description="the last layer, of multitask all heads: as in the file, or drawn anew for "
        "other targets",
    )
    otherwise: Annotated[Drawn, Field(discriminator="kind")] = Field(
        default_factory=Kaiming, description="how a random head is drawn"
    )

    def initial(
        self, model: ModelPart, layout: Layout, generator: torch.Generator, folder: Path
    ) -> dict[str, torch.Tensor]:
        taken = self._read(model, layout, folder)
        drawn = {name: shape for name, shape in layout.shapes.items() if name not in taken}
        return taken | self.otherwise.initial(model, Layout(drawn), generator, folder)

    def check(self, model: ModelPart, layout: Layout, folder: Path) -> None:
        self._read(model, layout, folder)

    def _read(self, model: ModelPart, layout: Layout, folder: Path) -> dict[str, torch.Tensor]:
        """The parameters that are taken from the file, float64."""
        file = find_file(self.path, folder)
        if self.sha256 is not None and (digest := _digest(file)) != self.sha256:
            raise InputError(
                f"{file} must have the digest initialization.sha256, {self.sha256}, got {digest}",
                "put the file back as it was, or give its new digest",
            )
        found, expected = checkpoint.read_tensors(file), dict(layout.shapes)
        state = model.init_state(found)
        for name in found.keys() - layout.shapes.keys():
            if name.startswith(checkpoint.SCALINGS) or name in state:
                del found[name]
        if self.head == "random":
            head = f"{layout.head}."
            for each in (found, expected):
                for name in [name for name in each if name.startswith(head)]:
                    del each[name]
            if not 0 < len(expected) < len(layout.shapes):
                raise InputError(
                    "initialization.head random needs a last layer with others before it, the "
                    f"model has {', '.join(layout.shapes)}",
                    "set initialization.head: keep, or leave initialization out",
                )
        if faults := list(_faults({name: tuple(t.shape) for name, t in found.items()}, expected)):
            raise InputError(
                f"{file} does not fit the model: {'; '.join(faults)}",
                "give the model that the file is of; where the last layer alone differs, set "
                "initialization.head: random",
            )
        return {name: tensor.double() for name, tensor in found.items()}


def _faults(found: Shapes, expected: Shapes) -> Iterator[str]:
    for name, shape in expected.items():
        if name not in found:
            yield f"the file has no {name}"
        elif found[name] != shape:
            yield f"{name} is {found[name]} in the file, {shape} in the model"
    for name in sorted(found.keys() - expected.keys()):
        yield f"the model has no {name}"


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
