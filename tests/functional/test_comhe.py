from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.functional import comhe_energy, mhe_energy
from hpo.train.layout import Layout
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.regularizers.base import Context, Moment, State
from hpo.train.regularizers.comhe import NAME, Comhe
from hpo.train.regularizers.projections import angle_gap, crowding

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())
W = torch.tensor(np.random.RandomState(0).standard_normal((8, 5)))
LIKE = torch.zeros((), dtype=torch.float64)
LAYOUT = Layout({"first.weight": (6, 3), "body.weight": (7, 9), "head.weight": (3, 7)})
PARAMS = torch.tensor(np.random.RandomState(1).standard_normal(LAYOUT.size))
NAMED = LAYOUT.split(PARAMS)
SOURCE = NoiseSource(LIKE.device)


def context_at(step: int, state: State | None = None) -> Context:
    noise = SOURCE.at(step_keys(0, torch.tensor([step]))[0])
    weights = LAYOUT.weight_mask(LIKE)
    return Context(LIKE + step, LIKE + 0.1, noise, LAYOUT, weights, state or {})


def part_of(kind: str, size: int = 4, **more: Any) -> Comhe:
    return Comhe.model_validate(
        {"strength": 1.0, "projection": {"kind": kind, "size": size}} | more
    )


def begun(part: Comhe, seed: int = 0) -> State:
    moment = Moment(NAME, 0, 1, LAYOUT, torch.Generator().manual_seed(seed))
    state = {NAME: part.init_state(PARAMS, LAYOUT)}
    return part.before_epoch(PARAMS, state, moment)[1]


def test_it_is_the_mean_of_what_projections_show() -> None:
    projections = torch.randn(3, 4, 5, dtype=torch.float64)
    seen = [mhe_energy(W @ p.T, half_space=True).item() for p in projections]
    assert comhe_energy(W, projections).item() == pytest.approx(np.mean(seen), rel=1e-12)
    assert comhe_energy(W, projections[1]).item() == pytest.approx(seen[1], rel=1e-12)
    assert comhe_energy(W, 7 * projections).item() == pytest.approx(np.mean(seen), rel=1e-12)
    whole = comhe_energy(W, torch.eye(5, dtype=torch.float64), 1, half_space=False)
    assert whole.item() == pytest.approx(mhe_energy(W, 1).item(), rel=1e-12)


def test_it_is_mapped_over_weights_and_projections() -> None:
    weights = torch.randn(3, 8, 5, dtype=torch.float64)
    projections = torch.randn(3, 2, 4, 5, dtype=torch.float64)
    mapped = torch.func.vmap(torch.func.grad(comhe_energy))(weights, projections)
    for weight, own, gradient in zip(weights, projections, mapped, strict=True):
        expected = torch.func.grad(comhe_energy)(weight, own)
        assert torch.allclose(gradient, expected, rtol=1e-10, atol=1e-14)


def test_rows_that_collide_in_a_projection_are_finite() -> None:
    projection = torch.zeros(2, 5, dtype=torch.float64)
    projection[0, 0] = 1.0
    gradient = torch.func.grad(comhe_energy)(W, projection)
    assert gradient.isfinite().all()


def test_the_output_layer_has_the_value_of_the_reference() -> None:
    """Full space, s 2, ten times; 1e-4 is added to squared norms, as a coordinate of its own."""
    lifted = torch.cat([W, 0.01 * torch.eye(8, dtype=torch.float64)], dim=1)
    layout = Layout({"head.weight": tuple(lifted.shape)})
    context = Context(LIKE, LIKE, context_at(0).noise, layout, layout.weight_mask(LIKE), {NAME: {}})
    found = part_of("random").penalty({"head.weight": lifted}, context)
    assert found.item() == pytest.approx(GOLDEN["comhe_final_8x5"]["loss"], rel=2e-6)


def test_random_projections_are_drawn_anew_at_each_step() -> None:
    part = part_of("random")
    first, again, second = (part.penalty(NAMED, context_at(step)) for step in (0, 0, 1))
    assert first == again and first != second
    body = NAMED["body.weight"].unsqueeze(0)
    drawn = part.projection.seen("body.weight", body, {}, context_at(0))
    other = part.projection.seen("other.weight", body, {}, context_at(0))
    assert drawn.shape == (1, 20, 4, 9) and not torch.allclose(drawn, other)
    assert drawn.mean().abs() < 4 / drawn.numel() ** 0.5
    assert drawn.std().item() == pytest.approx(1, abs=0.1)


def test_layers_that_a_projection_does_not_compress_are_compared_as_they_are() -> None:
    state = begun(part_of("adversarial"))
    assert {name: own.shape for name, own in state[NAME].items()} == {"body.weight": (1, 4, 9)}
    found = part_of("random", size=9).penalty(NAMED, context_at(0))
    hidden = [mhe_energy(NAMED[f"{n}.weight"], half_space=True) for n in ("first", "body")]
    expected = sum(hidden) + 10 * mhe_energy(NAMED["head.weight"])
    assert torch.allclose(found, torch.as_tensor(expected), rtol=1e-12)


KINDS = ("angle_preserving", "adversarial")


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_projection_is_drawn_once_from_the_trials_seed(kind: str) -> None:
    part = part_of(kind)
    first, again, other = (begun(part, seed)[NAME]["body.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, other)
    assert [part.acts_before(epoch, 3) for epoch in range(3)] == [True, False, False]
    assert not part_of("random").acts_before(0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_projection_moves_the_way_it_should(kind: str) -> None:
    part, state = part_of(kind), begun(part_of(kind))
    goal = {"angle_preserving": angle_gap, "adversarial": crowding}[kind]
    body = NAMED["body.weight"]
    before = goal(state[NAME]["body.weight"][0], body)
    for step in range(50):
        params, own = part.after_step(PARAMS, state[NAME], context_at(step, state))
        assert params is PARAMS, "weights are the optimizer's"
        state = {NAME: own}
    after = goal(state[NAME]["body.weight"][0], body)
    assert after < 0.9 * before if kind == "angle_preserving" else after > 1.1 * before


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_flow_through_the_step_of_the_projection(kind: str) -> None:
    part = part_of(kind, output_factor=0.0, layers=("body",))
    context = context_at(0, begun(part))

    def energy(body: torch.Tensor) -> torch.Tensor:
        return part.penalty({**NAMED, "body.weight": body}, context)

    body = NAMED["body.weight"].clone()
    gradient, small = torch.func.grad(energy)(body), 1e-6
    for i, j in ((0, 0), (3, 5), (6, 8)):
        moved = torch.zeros_like(body)
        moved[i, j] = small
        slope = (energy(body + moved) - energy(body - moved)) / (2 * small)
        assert gradient[i, j].item() == pytest.approx(slope.item(), rel=1e-4)
    projection = context.state[NAME]["body.weight"][0]
    goal = {"angle_preserving": angle_gap, "adversarial": crowding}[kind]
    sign = -1 if kind == "angle_preserving" else 1
    ahead = projection + sign * 0.1 * torch.func.grad(goal)(projection, body)
    assert torch.allclose(energy(body), comhe_energy(body, ahead), rtol=1e-12)
    held = torch.func.grad(comhe_energy)(body, ahead)
    assert not torch.allclose(gradient, held, rtol=1e-2), "the step depends on the weights"


def test_an_angle_preserving_projection_that_is_exact_is_finite() -> None:
    rows = torch.eye(3, dtype=torch.float64)
    slopes = torch.func.grad(lambda w: torch.func.grad(angle_gap)(rows, w).sum())(rows)
    assert slopes.isfinite().all()
