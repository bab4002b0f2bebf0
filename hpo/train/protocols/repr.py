from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Layers, Layout, Named
from hpo.train.protocols.masks import Masked, forget
from hpo.train.regularizers.base import Moment, PartState, State
from hpo.train.regularizers.rows import as_rows, directions
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def repr_scores(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """How much each filter of some layers resembles the others of its layer.

    O_i = (1/n) sum_{j != i} |c_ij| in [0, 1), c_ij being the cosine of filters i and j. A filter of
    zeros resembles none.

    Args:
        weights: [n, d] or OIHW each, by name.

    Returns:
        [n] each.

    Reference: Prakash et al. 2019, RePr, arXiv:1811.07275, equation 2.
    """
    scores = {}
    for name, weight in weights.items():
        unit, _ = directions(as_rows(weight))
        own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        scores[name] = torch.where(own, 0.0, unit @ unit.T).abs().mean(1)
    return scores


def repr_select(
    scores: Mapping[str, torch.Tensor],
    fraction: torch.Tensor | float,
    max_per_layer: torch.Tensor | float = 1.0,
) -> dict[str, torch.Tensor]:
    """The filters to drop: those that resemble others most, of all layers together.

    Their score is above the (1 - fraction) quantile of all. Scores are larger where filters are
    small, so that one layer may have nearly all of them: of a layer at most a share is dropped, the
    highest scores first, and no filter of another layer in place of those that stay.

    Args:
        scores: [n] each, by name of the layer.
        fraction: of all filters, in [0, 1).
        max_per_layer: share of a layer's filters, in [0, 1].

    Returns:
        indices, ascending, int64, for each layer. It looks at values: how many there are.
    """
    together = torch.cat(list(scores.values()))
    threshold = torch.quantile(together, 1 - torch.as_tensor(fraction).to(together))
    selected = {}
    for name, own in scores.items():
        highest = own.argsort(descending=True, stable=True)[: int(max_per_layer * len(own))]
        selected[name] = highest[own[highest] > threshold].sort().values
    return selected


def repr_reinit(
    old_dropped: torch.Tensor, kept: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """New filters in place of dropped ones, in directions that the layer did not have.

    They are orthogonal to what was dropped and to what is kept, to one another as well where there
    are enough such directions, and as long as filters of the layer are on average. Where filters
    fill the whole space there is no such direction, and any other is drawn.

    Args:
        old_dropped: what was dropped, as it was, [k, ...].
        kept: the others, as they are now, [n - k, ...].
        generator: on the CPU.

    Returns:
        as `old_dropped`. It looks at values: how many directions are taken.

    Reference: Prakash et al. 2019, RePr, arXiv:1811.07275, section 4.
    """
    rows = torch.cat([old_dropped.flatten(1), kept.flatten(1)]).double()
    new = torch.randn(old_dropped.flatten(1).shape, generator=generator, dtype=rows.dtype)
    new = new.to(rows.device)
    _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    rounding = torch.finfo(rows.dtype).eps * max(rows.shape)
    span = basis[sizes > rounding * sizes.max()]
    free = rows.shape[1] - len(span)
    if free:
        for _ in range(2):  # once leaves what rounding left
            new = new - new @ span.T @ span
    if len(new) <= free:
        new = torch.linalg.qr(new.T).Q.T
    length = torch.linalg.vector_norm(rows, dim=1).mean()
    scaled: torch.Tensor = length * new / torch.linalg.vector_norm(new, dim=1, keepdim=True)
    return scaled.view(old_dropped.shape).to(old_dropped.dtype)


class RePr(Masked):
    """Drops the filters that most resemble others, trains without them, and draws them anew.

    A cycle is `full_epochs` of the whole net, then `sub_epochs` without a share of its filters or
    units: their outputs are masked, as all that leads into them and all that the next layer makes
    of them is 0. Then they begin again where no other filter points, with all that belongs to them
    reset: bias, normalization, what the optimizer knew, and the next layer's weights of them, which
    begin at 0. After all cycles the whole net trains until the end. For layers whose units one
    other layer alone sees: those of `mlp` and `cnn`, the first convolution in a block of `resnet`.
    With augmentation it may well lose.
    """

    reference: ClassVar[str] = "Prakash et al. 2019, RePr, arXiv:1811.07275"

    fraction: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.3, ge=0, lt=1, description="share of all filters that is dropped in each cycle; 0: none"
    )
    max_per_layer: Annotated[float, PerLane()] = Field(
        0.5, gt=0, lt=1, description="share of one layer's filters that may be dropped at most"
    )
    full_epochs: int = Field(20, ge=1, description="epochs of a cycle before filters are dropped")
    sub_epochs: int = Field(10, ge=1, description="epochs of a cycle without them")
    cycles: int = Field(3, ge=1, description="how often; full training follows the last one")
    layers: Layers = Field(
        "all", description="whose filters: all, hidden, conv, linear, or names of layers"
    )

    def active(self) -> bool:
        return self.in_play("fraction")

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        try:
            meant = layout.select(self.layers)
        except InputError as error:
            raise InputError(f"{name}.layers: {error.message}", error.hint) from None
        left = self._names(layout)
        by_name = not isinstance(self.layers, str)
        if not left or (by_name and left != meant):
            others = ", ".join(other for other in meant if other not in left)
            able = ", ".join(layout.feeds) or "none"
            raise InputError(
                f"{name} drops units that one other layer alone sees, which those of {others} are "
                "not known to be",
                f"name layers of which that is known in {name}.layers (in this model: {able}), "
                "without normalization weight; or leave it out",
            )

    def check_epochs(self, epochs: int) -> None:
        needed = self.cycles * self._cycle
        if epochs <= needed:
            raise ValueError(
                f"protocol.repr is {self.cycles} cycles of {self.full_epochs} + {self.sub_epochs} "
                f"epochs and full training after them, more than {needed} epochs, got epochs "
                f"{epochs}; train for more epochs, or set fewer or shorter cycles"
            )

    @property
    def _cycle(self) -> int:
        return self.full_epochs + self.sub_epochs

    def acts_before(self, epoch: int, epochs: int) -> bool:
        within = 0 < epoch <= self.cycles * self._cycle
        return within and epoch % self._cycle in (0, self.full_epochs)

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        dropped = torch.zeros_like(params, dtype=torch.bool)
        return {**super().init_state(params, layout), "dropped": dropped, "old": params}

    def before_epoch(
        self, params: torch.Tensor, state: State, moment: Moment
    ) -> tuple[torch.Tensor, State]:
        if not params.isfinite().all():  # it has diverged, and is ended for that elsewhere
            return params, state
        if moment.epoch % self._cycle:
            return self._drop(params, state, moment)
        return self._restore(params, state, moment)

    def _drop(
        self, params: torch.Tensor, state: State, moment: Moment
    ) -> tuple[torch.Tensor, State]:
        layout = moment.layout
        weights = layout.split(params)
        scores = repr_scores({name: weights[name] for name in self._names(layout)})
        mask = torch.ones_like(params, dtype=torch.bool)
        dropped = torch.zeros_like(mask)
        kept, of_dropped = layout.split(mask), layout.split(dropped)
        for name, rows in repr_select(scores, self.fraction, self.max_per_layer).items():
            of_dropped[name][rows] = True
            for path in (name, *_vectors(layout, name)):
                kept[path][rows] = False
            _seen(layout, name, kept)[:, rows] = False
        own = {"mask": mask, "dropped": dropped, "old": params}
        return torch.where(mask, params, 0.0), {**forget(state, mask), moment.name: own}

    def _restore(
        self, params: torch.Tensor, state: State, moment: Moment
    ) -> tuple[torch.Tensor, State]:
        layout, own = moment.layout, state[moment.name]
        params = params.clone()
        now, old, dropped = (layout.split(v) for v in (params, own["old"], own["dropped"]))
        model = dict(state["model"])
        for name in self._names(layout):
            gone = dropped[name].flatten(1).any(1)
            if not gone.any():
                continue
            now[name][gone] = repr_reinit(old[name][gone], now[name][~gone], moment.generator)
            place = layout.feeds[_layer(name)].place
            if f"{place}.gain" in now:
                now[f"{place}.gain"][gone] = 1.0
            for statistic, first in (("mean", 0.0), ("var", 1.0)):
                if (path := f"{place}.{statistic}") in model:
                    model[path] = torch.where(gone, first, model[path])
        state = {**forget(state, own["mask"]), "model": model}
        return params, {**state, moment.name: self.init_state(params, moment.layout)}

    def _names(self, layout: Layout) -> list[str]:
        """Weights whose rows may be dropped."""
        return [name for name in layout.select(self.layers) if _layer(name) in layout.feeds]


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _vectors(layout: Layout, name: str) -> list[str]:
    """What a layer has a number of for each unit: biases, gains and shifts."""
    layer = _layer(name)
    place = layout.feeds[layer].place
    paths = f"{layer}.bias", f"{place}.gain", f"{place}.shift"
    return [path for path in paths if path in layout.shapes]


def _seen(layout: Layout, name: str, of: Named) -> torch.Tensor:
    """What the next layer makes of each unit, [O, n, ...], a view."""
    to = of[f"{layout.feeds[_layer(name)].to}.weight"]
    return to.view(to.shape[0], layout.shapes[name][0], -1)
