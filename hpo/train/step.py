"""One training step, written for one trial.

The step is a pure function of tensors. It knows nothing of epochs, schedules or other trials: a
driver calls it with plain autograd, or maps it over many trials with `torch.func.vmap`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from hpo.lazy import lazy
from hpo.train.config import TrainConfig
from hpo.train.layout import Layout
from hpo.train.losses import LossPart
from hpo.train.models.base import Kind
from hpo.train.noise import NoiseSource, derive
from hpo.train.normalizations import ModelState
from hpo.train.optimizers import OptimizerPart
from hpo.train.regularizers import Regularizer
from hpo.train.regularizers.base import Context, Gradient, Moment, Objective, State

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

# From a function of parameters [P], whose value [] comes with a state, and parameters, to the
# value, its gradient [P] and the state.
Differentiate = Callable[
    [Callable[["torch.Tensor"], tuple["torch.Tensor", ModelState]], "torch.Tensor"],
    tuple["torch.Tensor", "torch.Tensor", ModelState],
]


# The hook that replaces what a layer gives, by what it gives.
AT: dict[Kind, str] = {"activation": "on_hidden", "state": "on_state", "branch": "on_branch"}


class Batch(NamedTuple):
    """What differs from step to step.

    Args:
        x: inputs, [B, ...]; of a text int64 [B, L].
        y: classes int64 [B], of a text [B, L]; or numbers [B, D].
        t: steps done before this one, a float [].
        lr: learning rate, [].
        key: of the step's noise, int32 [].
    """

    x: torch.Tensor
    y: torch.Tensor
    t: torch.Tensor
    lr: torch.Tensor
    key: torch.Tensor


class Knobs(NamedTuple):
    """The parts of a step, with tensors [] in their per-lane fields (see `lanes.bind`)."""

    regularizers: dict[str, Regularizer]
    optimizer: OptimizerPart
    loss: LossPart

    @classmethod
    def of(cls, config: TrainConfig) -> Knobs:
        """From a config whose loss is set."""
        assert config.loss is not None
        return cls(config.regularizers(), config.scaled_optimizer(), config.loss)


class Step:
    """The step of all configs that have one fusion key.

    Args:
        config: any of them, with plain numbers and its loss set: it decides which hooks there are.
        layout: of the model's parameters.
        like: a tensor of the device and precision to work in.
        differentiate: how to take a gradient; the driver's choice.
    """

    def __init__(
        self, config: TrainConfig, layout: Layout, like: torch.Tensor, differentiate: Differentiate
    ) -> None:
        self._model = config.model
        self._layout = layout
        self._differentiate = differentiate
        self._noise = NoiseSource(like.device)
        self._weights = layout.weight_mask(like)
        parts = {name: part for name, part in config.regularizers().items() if part.active()}

        def calling(hook: str) -> list[str]:
            return [name for name, part in parts.items() if part.overrides(hook)]

        self._before_epoch = [(name, parts[name]) for name in calling("before_epoch")]
        self._init_state = calling("init_state")
        self._on_batch = calling("on_batch")
        self._wrap_gradient = calling("wrap_gradient")
        self._on_params = calling("on_params")
        self._during_forward = calling("during_forward")
        self._sites = {kind: calling(hook) for kind, hook in AT.items()}
        self._hidden_penalty = calling("hidden_penalty")
        self._on_targets = calling("on_targets")
        self._on_loss = calling("on_loss")
        self._penalty = calling("penalty")
        self._on_grads = calling("on_grads")
        self._on_update = calling("on_update")
        self._after_step = calling("after_step")
        self._eval_params = calling("eval_params")

    def init_state(self, params: torch.Tensor, knobs: Knobs) -> State:
        """The state before the first step, for parameters [P]."""
        state = {
            name: knobs.regularizers[name].init_state(params, self._layout)
            for name in self._init_state
        }
        return {
            "optimizer": knobs.optimizer.init_state(params),
            "model": self._model.init_state(self._layout.split(params)),
            **state,
        }

    def __call__(
        self, params: torch.Tensor, state: State, batch: Batch, knobs: Knobs
    ) -> tuple[torch.Tensor, State, dict[str, torch.Tensor]]:
        """One step.

        Args:
            params: [P].
            state: as `init_state` or the step before returned it.
            knobs: one trial's.

        Returns:
            the new parameters [P], the new state, and metrics: `loss` [], the objective at the
            parameters given, noise and penalties included.
        """
        regularizers = knobs.regularizers
        noise = self._noise.at(batch.key)
        context = Context(batch.t, batch.lr, noise, self._layout, self._weights, state)
        x, y = batch.x, batch.y
        for name in self._on_batch:
            x, y = regularizers[name].on_batch(x, y, context)

        model_state = state["model"]  # after the pass that was last
        passes: list[ModelState] = []  # after each that a hook asks for a gradient

        def objective(vector: torch.Tensor) -> torch.Tensor:
            nonlocal model_state
            named = self._layout.split(vector)
            for name in self._on_params:
                named = dict(regularizers[name].on_params(named, context))
            penalties: list[torch.Tensor] = []

            def on_hidden(h: torch.Tensor, site: str, kind: Kind = "activation") -> torch.Tensor:
                for name in self._sites[kind]:
                    h = getattr(regularizers[name], AT[kind])(h, site, context)
                if kind == "activation":
                    penalties.extend(
                        regularizers[name].hidden_penalty(h, site, context)
                        for name in self._hidden_penalty
                    )
                return h

            with ExitStack() as during:
                for name in self._during_forward:
                    during.enter_context(regularizers[name].during_forward(named, context))
                outputs, model_state = self._model.apply(
                    named, state["model"], x, on_hidden, training=True
                )
            targets = y
            for name in self._on_targets:
                targets = regularizers[name].on_targets(targets, context)
            loss = knobs.loss.training(outputs, targets)
            for name in self._on_loss:
                loss = regularizers[name].on_loss(loss, outputs, x, targets, context)
            for name in self._penalty:
                penalties.append(regularizers[name].penalty(named, context))
            return sum(penalties, loss)

        def own_gradient(
            objective: Objective, params: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            # Tensors leave a transform of torch.func as what it returns, and in no other way.
            loss, grads, after = self._differentiate(
                lambda vector: (objective(vector), model_state), params
            )
            passes.append(after)
            return loss, grads

        gradient: Gradient = own_gradient
        for name in self._wrap_gradient:
            gradient = regularizers[name].wrap_gradient(gradient, context)
        loss, grads = gradient(objective, params)

        for name in self._on_grads:
            grads = regularizers[name].on_grads(grads, params, context)
        update, optimizer_state = knobs.optimizer.direction(grads, state["optimizer"], batch.t)
        for name in self._on_update:
            update = regularizers[name].on_update(update, params, context)
        params = params - batch.lr * update

        state = {**state, "optimizer": optimizer_state, "model": passes[0]}
        for name in self._after_step:
            params, own = regularizers[name].after_step(params, state.get(name, {}), context)
            if own:
                state[name] = own
        return params, state, {"loss": loss}

    def acts_before(self, epoch: int, epochs: int) -> bool:
        """Whether anything changes when so many of all epochs are done; see `before_epoch`."""
        return any(part.acts_before(epoch, epochs) for _, part in self._before_epoch)

    def before_epoch(
        self, params: torch.Tensor, state: State, knobs: Knobs, seed: int, epoch: int, epochs: int
    ) -> tuple[torch.Tensor, State]:
        """What is done to one trial between two epochs, in any driver.

        Args:
            params: [P].
            knobs: its own, with tensors or numbers.
            seed: its own.
            epoch, epochs: how many are done, of how many.
        """
        for name, part in self._before_epoch:
            if part.acts_before(epoch, epochs):
                generator = torch.Generator().manual_seed(derive(seed, name, epoch))
                moment = Moment(name, epoch, epochs, self._layout, generator)
                params, state = knobs.regularizers[name].before_epoch(params, state, moment)
        return params, state

    @property
    def evaluates_others(self) -> bool:
        """Whether the parameters to evaluate may be others than those that are trained."""
        return bool(self._eval_params)

    def eval_params(self, params: torch.Tensor, state: State, knobs: Knobs) -> torch.Tensor:
        """The parameters [P] to evaluate and to keep."""
        for name in self._eval_params:
            params = knobs.regularizers[name].eval_params(params, state.get(name, {}))
        return params
