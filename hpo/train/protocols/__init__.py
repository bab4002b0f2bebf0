"""Training protocols. To add one: copy a neighbour, and give it a line in `Protocol`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from hpo.train.protocols.dsd import Dsd
from hpo.train.protocols.ema import Ema
from hpo.train.protocols.masks import Masked
from hpo.train.protocols.repr import RePr
from hpo.train.protocols.sam import Sam
from hpo.train.protocols.swa import Swa
from hpo.train.regularizers.base import Regularizer
from hpo.train.settings import Settings

__all__ = ["Averaging", "Dsd", "Ema", "Protocol", "RePr", "Sam", "Swa"]

Averaging = Annotated[Ema | Swa, Field(discriminator="kind")]


class Protocol(Settings):
    """How training goes, beside what it minimises; each hook calls them in the order they stand."""

    sam: Sam | None = Field(None, description="gradients at the worst point nearby")
    dsd: Dsd | None = Field(None, description="dense, sparse, dense: pruned weights come back")
    repr: RePr | None = Field(None, description="filters like others dropped, then drawn anew")
    averaging: Averaging | None = Field(
        None, description="averages of the weights, to evaluate and to keep"
    )

    @model_validator(mode="after")
    def _averages_are_of_one_net(self) -> Self:
        if self.repr is not None and self.repr.active() and self.averaging is not None:
            raise ValueError(
                "averaging does not go with repr: an average of filters from before and after they "
                "are drawn anew is like neither; leave one of them out"
            )
        return self

    def check_epochs(self, epochs: int) -> None:
        """See `Masked.check_epochs`."""
        for part in self.parts().values():
            if isinstance(part, Masked) and part.active():
                part.check_epochs(epochs)

    def parts(self) -> dict[str, Regularizer]:
        """The parts that are present, by key."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in fields.items() if part is not None}
