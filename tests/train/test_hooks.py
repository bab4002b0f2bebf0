"""The hooks that no built-in part uses yet, tried with methods from the literature."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from train_helpers import config

from hpo.train.config import TrainConfig
from hpo.train.drivers.single import value_and_grad
from hpo.train.lanes import bind, knobs
from hpo.train.layout import Layout, Named
from hpo.train.noise import step_keys
from hpo.train.regularizers import Regularization, Regularizer
from hpo.train.regularizers.base import Context, Gradient, Moment, Objective, PartState, State
from hpo.train.step import Batch, Knobs, Step

LIKE = torch.empty(0, dtype=torch.float64)
CALLS: list[str] = []


class Recorder(Regularizer):
    """Writes down each call, and changes nothing."""

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        CALLS.append("init_state")
        return {}

    def before_epoch(self, params: torch.Tensor, state: State, moment: Moment) -> Any:
        CALLS.append("before_epoch")
        return params, state

    def on_batch(self, x: Any, y: Any, context: Context) -> Any:
        CALLS.append("on_batch")
        return x, y

    def wrap_gradient(self, gradient: Gradient, context: Context) -> Gradient:
        CALLS.append("wrap_gradient")
        return gradient

    def on_params(self, params: Named, context: Context) -> Named:
        CALLS.append("on_params")
        return params

    def during_forward(self, params: Named, context: Context) -> Any:
        CALLS.append("during_forward")
        return nullcontext()

    def on_hidden(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        CALLS.append("on_hidden")
        return h

    def on_state(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        CALLS.append("on_state")
        return h

    def on_branch(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        CALLS.append("on_branch")
        return h

    def hidden_penalty(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        CALLS.append("hidden_penalty")
        return torch.zeros((), dtype=torch.float64)

    def on_targets(self, y: torch.Tensor, context: Context) -> torch.Tensor:
        CALLS.append("on_targets")
        return y

    def on_loss(self, loss: torch.Tensor, *batch: Any) -> torch.Tensor:
        CALLS.append("on_loss")
        return loss

    def penalty(self, params: Named, context: Context) -> torch.Tensor:
        CALLS.append("penalty")
        return torch.zeros((), dtype=torch.float64)

    def on_grads(self, grads: torch.Tensor, params: torch.Tensor, context: Context) -> torch.Tensor:
        CALLS.append("on_grads")
        return grads

    def on_update(
        self, update: torch.Tensor, params: torch.Tensor, context: Context
    ) -> torch.Tensor:
        CALLS.append("on_update")
        return update

    def after_step(self, params: torch.Tensor, state: PartState, context: Context) -> Any:
        CALLS.append("after_step")
        return params, state

    def eval_params(self, params: torch.Tensor, state: PartState) -> torch.Tensor:
        CALLS.append("eval_params")
        return params


class Average(Regularizer):
    """An exponential moving average of the weights, for evaluation."""

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        return {"average": params}

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        return params, {"average": torch.lerp(params, state["average"], 0.5)}

    def eval_params(self, params: torch.Tensor, state: PartState) -> torch.Tensor:
        return state["average"]


class Sharpness(Regularizer):
    """The gradient at the worst nearby point (Foret et al. 2021)."""

    def wrap_gradient(self, gradient: Gradient, context: Context) -> Gradient:
        def wrapped(objective: Objective, params: torch.Tensor) -> Any:
            _, grads = gradient(objective, params)
            return gradient(objective, params + 0.05 * grads / grads.norm())

        return wrapped


class Twice(Regularizer):
    """Asks for the same gradient again."""

    def wrap_gradient(self, gradient: Gradient, context: Context) -> Gradient:
        def wrapped(objective: Objective, params: torch.Tensor) -> Any:
            gradient(objective, params)
            return gradient(objective, params)

        return wrapped


class Halved(Regularizer):
    """Halves the weights that the forward pass sees, and adds their mean square to the loss."""

    def on_params(self, params: Named, context: Context) -> Named:
        return {name: value / 2 for name, value in params.items()}

    def penalty(self, params: Named, context: Context) -> torch.Tensor:
        return torch.stack([value.square().mean() for value in params.values()]).sum()


class More(Regularization):
    extra: Regularizer | None = None


class Config(TrainConfig):
    regularization: More = More()


def trained(
    part: Regularizer | None, steps: int = 3, model: Any = None
) -> tuple[Step, Knobs, list[Any], State]:
    base = config(
        model=model or {"kind": "mlp", "widths": [4, 4]},
        loss={"kind": "cross_entropy"},
        optimizer={"kind": "sgd", "momentum": 0.0},
    )
    case = Config.model_construct(**dict(base) | {"regularization": More(extra=part)})
    layout = Layout(case.model.shapes((5,), 3))
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(layout.size, generator=generator, dtype=torch.float64)
    step = Step(case, layout, LIKE, value_and_grad)
    parts = Knobs.of(bind(case, {k: LIKE.new_tensor(v) for k, v in knobs(case).items()}))
    state = step.init_state(params, parts)
    params, state = step.before_epoch(params, state, parts, seed=0, epoch=0, epochs=1)
    path = [params]
    for t in range(steps):
        batch = Batch(
            torch.randn(8, 5, generator=generator, dtype=torch.float64),
            torch.randint(3, (8,), generator=generator),
            LIKE.new_tensor(float(t)),
            LIKE.new_tensor(0.1),
            step_keys(0, torch.tensor([t]))[0],
        )
        params, state, _ = step(params, state, batch, parts)
        path.append(params)
    return step, parts, path, state


SEQUENCE = {"kind": "transformer", "width": 4, "heads": 2, "hidden": 6, "layers": 1}
SITES = {
    # Hidden layers of the model, and the hooks that each of them calls.
    "mlp": (None, 2 * ["on_hidden", "hidden_penalty"]),
    "gru": ({"kind": "gru", "width": 4}, [*5 * ["on_state"], "on_hidden", "hidden_penalty"]),
    "transformer": (
        SEQUENCE,
        [
            *("on_hidden", "hidden_penalty", "on_branch"),
            *("on_hidden", "hidden_penalty"),
            *("on_hidden", "hidden_penalty", "on_branch"),
        ],
    ),
}


@pytest.mark.parametrize("kind", SITES)
def test_hooks_are_called_in_the_documented_order(kind: str) -> None:
    model, sites = SITES[kind]
    CALLS.clear()
    step, parts, path, state = trained(Recorder(), steps=1, model=model)
    step.eval_params(path[-1], state, parts)
    documented = [
        n for n in vars(Regularizer) if n in vars(Recorder) and not n.startswith(("_", "model_"))
    ]
    assert len(documented) == 17
    first, last = documented.index("on_hidden"), documented.index("on_targets")
    assert [*documented[:first], *sites, *documented[last:]] == CALLS


class Shifted(Regularizer):
    """Adds to the parameters what was drawn before an epoch, and counts the epochs."""

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        return {"epochs": params.new_zeros(())}

    def acts_before(self, epoch: int, epochs: int) -> bool:
        return epoch % 2 == 1

    def before_epoch(self, params: torch.Tensor, state: State, moment: Moment) -> Any:
        (name,) = [name for name in state if name.endswith("extra")]
        noise = torch.randn(params.shape, generator=moment.generator, dtype=params.dtype)
        epoch = state[name]["epochs"] + moment.epoch
        return params + noise, {**state, name: {"epochs": epoch}}


def test_between_epochs_a_part_changes_parameters_and_state() -> None:
    step, parts, path, state = trained(Shifted(), steps=0)
    assert [step.acts_before(epoch, 4) for epoch in range(4)] == [False, True, False, True]

    def before(seed: int, epoch: int) -> tuple[torch.Tensor, State]:
        return step.before_epoch(path[0], state, parts, seed, epoch, 4)

    assert before(0, 2)[0] is path[0]
    moved, after = before(0, 1)
    assert after["regularization.extra"]["epochs"] == 1
    assert torch.equal(moved, before(0, 1)[0]), "the same trial draws the same"
    for other in (before(1, 1), before(0, 3)):
        assert not torch.allclose(moved, other[0]), "another trial or epoch draws anew"


def test_a_part_that_changes_nothing_changes_nothing() -> None:
    assert torch.equal(trained(Recorder())[2][-1], trained(None)[2][-1])


def test_state_flows_from_step_to_step() -> None:
    step, parts, path, state = trained(Average())
    average = path[0]
    for params in path[1:]:
        average = torch.lerp(params, average, 0.5)
    assert torch.equal(path[-1], trained(None)[2][-1]), "training itself is as without"
    assert torch.equal(step.eval_params(path[-1], state, parts), average)


def test_a_gradient_can_be_taken_elsewhere() -> None:
    plain, sharp = trained(None, steps=1)[2], trained(Sharpness(), steps=1)[2]
    moved = (plain[1] - sharp[1]).abs().max()
    assert 1e-5 < moved < 0.05


def test_of_several_forward_passes_the_first_one_leaves_the_models_state() -> None:
    model = {"kind": "mlp", "widths": [4, 4], "normalization": {"kind": "batch"}}
    plain, twice, sharp = (
        trained(part, steps=1, model=model)[3]["model"] for part in (None, Twice(), Sharpness())
    )
    assert len(plain) == 4
    for name, running in plain.items():
        assert torch.equal(twice[name], running), "a second pass changes nothing"
        assert torch.equal(sharp[name], running), "nor one at other parameters"


def test_gradients_flow_through_replaced_parameters_and_penalties() -> None:
    plain, halved = trained(None, steps=1)[2], trained(Halved(), steps=1)[2]
    assert not torch.allclose(plain[1], halved[1])
    assert torch.equal(plain[0], halved[0])
