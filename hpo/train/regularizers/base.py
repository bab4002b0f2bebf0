"""What a regularizer may do to a training step.

A regularizer overrides the hooks it needs and no others: a hook left alone costs nothing. Each hook
is a pure function written for one trial. It must not write into what it is given, branch on the
value of a tensor, or call `.item()`, so that it can also run for many trials at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpo.train.layout import Layout, Named
from hpo.train.noise import Noise
from hpo.train.settings import Settings, per_lane

if TYPE_CHECKING:
    import torch

PartState = dict[str, "torch.Tensor"]
State = dict[str, PartState]  # of the optimizer, the model and each regularizer, by name
Objective = Callable[["torch.Tensor"], "torch.Tensor"]
# From an objective and parameters [P] to the objective's value [] and its gradient [P].
Gradient = Callable[[Objective, "torch.Tensor"], tuple["torch.Tensor", "torch.Tensor"]]


@dataclass(frozen=True, slots=True)
class Context:
    """What a hook may know of the step it runs in.

    Args:
        t: steps done before this one, a float [].
        lr: the learning rate of this step, [].
        noise: the step's randomness, the same however often a hook asks for it.
        layout: names and shapes of the parameter vector.
        weights: 1 at weights and 0 at biases, gains, embeddings and all else that penalties leave
            alone, [P].
        state: of all parts, as this step found it.
    """

    t: torch.Tensor
    lr: torch.Tensor
    noise: Noise
    layout: Layout
    weights: torch.Tensor
    state: State = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """When a hook between two epochs is called.

    Args:
        name: under which the state has what is the part's own.
        epoch: epochs done.
        epochs: that there are in all.
        layout: names and shapes of the parameter vector.
        generator: what is random is drawn from it; on the CPU.
    """

    name: str
    epoch: int
    epochs: int
    layout: Layout
    generator: torch.Generator


class Regularizer(Settings):
    """A regularizer's settings and its hooks, in the order in which a training calls them.

    B is the batch size, P the number of parameters.
    """

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        """Whether it means anything for these examples and this model.

        Args:
            name: of the part, for the message.
            inputs: the shape of one example; of a text a `Window`.

        Raises:
            InputError: it does not.
        """

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        """Tensors of its own that the part keeps from step to step; called once, before training.

        Args:
            params: the initial parameters, [P].
            layout: names and shapes of the parameter vector.
        """
        return {}

    def before_epoch(
        self, params: torch.Tensor, state: State, moment: Moment
    ) -> tuple[torch.Tensor, State]:
        """Replaces parameters and state between two epochs, or before the first one.

        Called for one trial alone, with numbers in place of its per-lane fields and tensors of the
        device it trains on, so that it may look at values. It must not write into what it is given.

        Args:
            params: [P].
            state: of all parts, of the optimizer (`optimizer`) and of the model (`model`).
        """
        return params, state

    def acts_before(self, epoch: int, epochs: int) -> bool:
        """Whether `before_epoch` changes anything when so many of all epochs are done."""
        return True

    def rate_factor(self, epoch: int, epochs: int) -> float:
        """By what the learning rate is multiplied in the epoch after so many of all epochs.

        Known before the first step, so that numbers stand in all fields.
        """
        return 1.0

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Replaces the training batch: input noise, augmentation, mixing.

        Args:
            x: inputs, [B, ...].
            y: targets: classes, int64 [B], of a text [B, L]; or numbers [B, D]; after a part that
                mixes rows, probabilities of the classes [B, K] in place of classes.
        """
        return x, y

    def wrap_gradient(self, gradient: Gradient, context: Context) -> Gradient:
        """Replaces the way gradients are computed, for methods that take more than one.

        The hooks from `on_params` to `on_loss` run inside it, as often as it asks for a gradient.
        Whoever wraps takes the first one at the parameters given. What a model keeps beside its
        parameters is what that one left; all start alike.
        """
        return gradient

    def on_params(self, params: Named, context: Context) -> Named:
        """Replaces the parameters that the forward pass sees; gradients flow through.

        The step updates the parameters as they were before.
        """
        return params

    def during_forward(self, params: Named, context: Context) -> AbstractContextManager[object]:
        """Within it the forward pass of the model runs, to replace operations.

        Args:
            params: what the forward pass sees.
        """
        return nullcontext()

    def on_hidden(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        """Replaces the activations of one hidden layer.

        Args:
            h: after the activation function, [B, ...].
            site: the layer's name; `embedding` of characters.
        """
        return h

    def on_state(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        """Replaces what a recurrent cell sees of its last state.

        Args:
            h: [B, width], at each step of a sequence in turn.
            site: the layer's name, the same at each step.
        """
        return h

    def on_branch(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        """Replaces what is added to a bypass.

        Args:
            h: [B, ...].
            site: the name of the block, or of the layer that ends the branch.
        """
        return h

    def hidden_penalty(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        """A term [] added to the training loss for the activations of each hidden layer.

        Args:
            h: as the next layer sees them, [B, ...].
            site: the layer's name; `embedding` of characters.
        """
        raise NotImplementedError

    def on_targets(self, y: torch.Tensor, context: Context) -> torch.Tensor:
        """Replaces the targets just before the loss sees them, in the form the loss takes."""
        return y

    def on_loss(
        self,
        loss: torch.Tensor,
        outputs: torch.Tensor,
        x: torch.Tensor,
        y: torch.Tensor,
        context: Context,
    ) -> torch.Tensor:
        """Replaces the training loss [], before penalties are added to it.

        Args:
            outputs: of the model, [B, D], or [B, L, D] for windows of a text.
            x: what the model saw, [B, ...].
            y: what the loss saw, after `on_targets`.
        """
        return loss

    def penalty(self, params: Named, context: Context) -> torch.Tensor:
        """A term [] added to the training loss; for what is easiest left to autograd.

        Args:
            params: what the forward pass saw.
        """
        raise NotImplementedError

    def on_grads(self, grads: torch.Tensor, params: torch.Tensor, context: Context) -> torch.Tensor:
        """Replaces the gradient [P] before the optimizer sees it."""
        return grads

    def on_update(
        self, update: torch.Tensor, params: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """Replaces the optimizer's direction [P]; the step then subtracts lr times it."""
        return update

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        """Replaces the new parameters [P]: projections, proximal steps, masks, averages."""
        return params, state

    def eval_params(self, params: torch.Tensor, state: PartState) -> torch.Tensor:
        """The parameters [P] to evaluate and to keep, where these are not the trained ones.

        What batch normalization has seen while training belongs to the trained ones: for others it
        is measured anew, see `hpo.train.statistics`.
        """
        return params

    def active(self) -> bool:
        """Whether the part does anything: some per-lane field is in play, or there is none."""
        fields = per_lane(type(self))
        return not fields or any(self.in_play(field) for field in fields)

    def overrides(self, hook: str) -> bool:
        return getattr(type(self), hook) is not getattr(Regularizer, hook)
