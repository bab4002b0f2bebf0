from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from hpo.errors import InputError, TrainableError, first_line
from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import ModelPart, OnHidden, as_it_is
from hpo.train.normalizations import ModelState
from hpo.train.task import Target
from hpo.trainable.loading import find

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Custom(ModelPart):
    """A `torch.nn.Module` of yours, as `build(inputs, outputs, **settings)` makes it.

    `inputs` is the shape of one example, `outputs` how many numbers it returns for each: the module
    maps [B, *inputs] to [B, outputs]. Its matrices and kernels are drawn anew by `initialization`;
    vectors and buffers begin as it has them, the same in every trial. Random numbers are the
    trainer's own affair: name the layers after which activations may be dropped.
    """

    reference: ClassVar[str] = "a torch.nn.Module of yours"
    trusted: ClassVar[bool] = False

    kind: Literal["custom"] = "custom"
    build: str = Field(
        pattern=r"^[\w.]+:[\w.]+$",
        description="package.module:name, looked up in the study file's folder first",
    )
    settings: dict[str, bool | int | float | str] = Field(
        {}, description="what build is given beside inputs and outputs, by name"
    )
    hidden: tuple[str, ...] = Field(
        (), description="modules whose outputs are hidden activations, by name: for dropout.hidden"
    )
    _module: Any = PrivateAttr(None)  # a torch.nn.Module: Pydantic would load torch to see that

    def bound(
        self, folder: Path, inputs: tuple[int, ...], outputs: int, targets: tuple[Target, ...]
    ) -> Self:
        bound = self.model_copy()
        bound._module = self._built(folder, inputs, outputs)
        return bound

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        return {name: tuple(p.shape) for name, p in self._network.named_parameters()}

    def stacked(self, name: str) -> int:
        layer, _, leaf = name.rpartition(".")
        module = self._network.get_submodule(layer)
        if isinstance(module, torch.nn.modules.conv._ConvNd) and leaf == "weight":
            return module.groups
        if isinstance(module, torch.nn.MultiheadAttention) and leaf == "in_proj_weight":
            return 3
        if isinstance(module, torch.nn.LSTM | torch.nn.GRU) and leaf.startswith("weight"):
            return 4 if isinstance(module, torch.nn.LSTM) else 3
        return 1

    def init_params(self, params: Named) -> Named:
        own = dict(self._network.named_parameters())
        return {
            name: value if value.dim() >= 2 else own[name].detach().to(value)
            for name, value in params.items()
        }

    def init_state(self, params: Named) -> ModelState:
        like = next(iter(params.values()))
        return {
            name: buffer.to(like if buffer.is_floating_point() else like.device).clone()
            for name, buffer in self._network.named_buffers()
        }

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        network = self._network.train(training)
        buffers = {name: buffer.clone() for name, buffer in state.items()}  # written in place
        with _hooked(network, self.hidden, on_hidden):
            outputs: torch.Tensor = torch.func.functional_call(network, {**params, **buffers}, (x,))
        return outputs, buffers if training else dict(state)

    def statistics(self, params: Named, state: Named, x: torch.Tensor) -> ModelState:
        norms = {
            name: module
            for name, module in self._network.named_modules()
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
        }
        with _forgetful(norms.values()):
            _, after = self.apply(params, state, x, as_it_is, training=True)
        names = [f"{name}.{key}" for name in norms for key in ("running_mean", "running_var")]
        return {name: after[name] for name in names if name in after}

    @property
    def _network(self) -> torch.nn.Module:
        assert self._module is not None, "a model of one's own is bound before it is used"
        module: torch.nn.Module = self._module
        return module

    def _built(self, folder: Path, inputs: tuple[int, ...], outputs: int) -> torch.nn.Module:
        hint = (
            "it is called as build(inputs, outputs, **settings) and must return a torch.nn.Module"
        )
        try:
            build = find(self.build, folder)
        except TrainableError as error:
            raise InputError(f"model.build: {error.message}", error.hint) from error
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # it is built more than once, and must be the same each time
                module = build(inputs, outputs, **self.settings)
        except Exception as error:
            raise InputError(
                f"model.build {self.build!r} failed: {type(error).__name__}: {first_line(error)}",
                hint,
            ) from error
        if not isinstance(module, torch.nn.Module):
            raise InputError(
                f"model.build {self.build!r} must return a torch.nn.Module, "
                f"got {type(module).__name__}",
                hint,
            )
        self._check(module, inputs, outputs)
        return module

    def _check(self, module: torch.nn.Module, inputs: tuple[int, ...], outputs: int) -> None:
        known = dict(module.named_modules())
        if unknown := [name for name in self.hidden if name not in known or not name]:
            raise InputError(
                f"model.hidden: the module has no {', '.join(unknown)}",
                f"it has: {', '.join(name for name in known if name)}",
            )
        random = [
            name
            for name, part in known.items()
            if isinstance(part, torch.nn.modules.dropout._DropoutNd) and part.p > 0
        ]
        if random:
            raise InputError(
                f"model.build {self.build!r}: {', '.join(random)} draws random numbers of its own, "
                "which nobody could repeat",
                "leave it out, name the layer before it in model.hidden, and set dropout.hidden",
            )
        if not list(module.parameters()):
            raise InputError(f"model.build {self.build!r}: the module has no parameters", "")
        try:
            with torch.no_grad():
                found = tuple(module.eval()(torch.zeros(2, *inputs)).shape)
        except Exception as error:
            raise InputError(
                f"model.build {self.build!r}: the module does not take inputs of shape "
                f"{(2, *inputs)}: {first_line(error)}",
                "it must map [B, *inputs] to [B, outputs]",
            ) from error
        if found != (2, outputs):
            raise InputError(
                f"model.build {self.build!r}: for inputs of shape {(2, *inputs)} the module must "
                f"return {(2, outputs)}, it returns {found}",
                "it must map [B, *inputs] to [B, outputs]",
            )


@contextmanager
def _forgetful(norms: Iterable[Any]) -> Iterator[None]:
    """Within it, batch normalizations run statistics of the last batch alone."""
    momenta = {norm: norm.momentum for norm in norms}
    try:
        for norm in momenta:
            norm.momentum = 1.0
        yield
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum


@contextmanager
def _hooked(network: Any, names: tuple[str, ...], on_hidden: OnHidden) -> Iterator[None]:
    """Within it, outputs of some modules go through `on_hidden`."""
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda module, given, h, name=name: on_hidden(h, name)
        )
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
