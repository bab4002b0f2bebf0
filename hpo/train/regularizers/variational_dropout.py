from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Layout, Named
from hpo.train.models.sequences import EMBEDDING
from hpo.train.regularizers.base import Context, Regularizer
from hpo.train.regularizers.dropout import dropout
from hpo.train.settings import PerLane
from hpo.train.task import Window

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

SITE = "regularization.variational_dropout"


class VariationalDropout(Regularizer):
    """Dropout for recurrent nets, with one mask for all steps of a sequence.

    A mask that changed from step to step would wear away what the state remembers. All gates see
    the same mask, each sequence another one; only characters are dropped in a whole batch alike.
    Nothing is dropped at evaluation.
    """

    reference: ClassVar[str] = "Gal & Ghahramani 2016, arXiv:1512.05287"

    input: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, le=0.9, description="share dropped of what each layer reads"
    )
    state: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, le=0.9, description="share dropped of what each layer sees of its last state"
    )
    output: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, le=0.9, description="share dropped of what the last layer gives"
    )
    embedding: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0,
        ge=0,
        le=0.9,
        description="share of the characters that are dropped wherever they occur",
    )

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        if isinstance(inputs, Window):
            return
        if self.in_play("embedding"):
            raise InputError(
                f"{name}.embedding drops characters of a text, got series",
                f"leave it out: {name}.input drops channels of series",
            )
        if self.in_play("input") and (len(inputs) == 1 or inputs[0] == 1):
            raise InputError(
                f"{name}.input drops channels for all of a series, and these have one",
                "leave it out: it would drop whole series",
            )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.in_play("input") and x.is_floating_point():  # a text is dropped as it is embedded
            channels = torch.Size((*x.shape[:2], 1))
            x = dropout(x, self.input, context.noise, f"{SITE}.series", channels)
        return x, y

    def on_params(self, params: Named, context: Context) -> Named:
        if not self.in_play("embedding"):
            return params
        rows, noise = params[EMBEDDING], context.noise
        characters = torch.Size((len(rows), 1))
        dropped = dropout(rows, self.embedding, noise, f"{SITE}.characters", characters)
        return {**params, EMBEDDING: dropped}

    def on_hidden(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        field = "output" if _is_last(site, context.layout) else "input"
        if not self.in_play(field):
            return h
        rate, all_steps = getattr(self, field), torch.Size((h.shape[0], 1, h.shape[2]))
        return dropout(h, rate, context.noise, f"{SITE}.{site}", all_steps)

    def on_state(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        if not self.in_play("state"):
            return h
        # The site is the same at each step, and so is the mask.
        return dropout(h, self.state, context.noise, f"{SITE}.{site}.state")


def _is_last(site: str, layout: Layout) -> bool:
    """Whether no other layer reads what is given at a site: `embedding`, `rnn.l0`, `rnn.l1`, ..."""
    if site == "embedding":
        return False
    return f"rnn.weight_ih_l{int(site.removeprefix('rnn.l')) + 1}" not in layout.shapes
