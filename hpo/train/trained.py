"""What a trial has learned, as a module that takes inputs as the user has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpo.errors import InputError
from hpo.records import Json
from hpo.train import checkpoint
from hpo.train.config import TrainConfig
from hpo.train.ensemble import mean_probability
from hpo.train.layout import Named
from hpo.train.models import ModelPart
from hpo.train.models.base import as_it_is
from hpo.train.task import SCORES, Target, Task, Window, split

EXAMPLES = 2
"""Rows of example inputs. Of one row an export would take the number of rows for a constant."""


class TrainedModel(torch.nn.Module):
    """A trained network between the scaling of its inputs and that of its targets.

    Scaling is done in float64, as it is before training, whatever precision the network has.

    Args:
        model: bound to the trial's data.
        network: its parameters, by name.
        state: the model's, by name.
        scaling: `offset`, `scale` and maybe `rotation` of `inputs` and `targets`, by dotted name.
        task: of the trial's data.
        vocabulary: of a text, each character at the place of its number.
        targets: where they may be of different kinds, each of them.
    """

    def __init__(
        self,
        model: ModelPart,
        network: Named,
        state: Named,
        scaling: Named,
        task: Task,
        vocabulary: str = "",
        targets: tuple[Target, ...] = (),
    ) -> None:
        super().__init__()
        self._model = model
        self._task = task
        self.vocabulary = vocabulary
        self.targets = targets
        self.network = _tree(network)
        self.state = _tree(state)
        self.scaling = _tree(scaling)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores before the softmax [N, classes], classes in sorted order; or numbers [N, D]
        in the target's own units; or both [N, outputs], those of one of `targets` after those of
        the other; or inputs as they were reconstructed, in the shape of `x`.

        Args:
            x: numbers [N, features], series [N, channels, length], or images [N, channels, height,
                width]; of a text int64 [N, L] as `encode` gives it, for which there are scores
                [N, L, classes] of each next character.
        """
        network, state, scaling = (
            dict(part.named_parameters()) for part in (self.network, self.state, self.scaling)
        )

        def apply(inputs: torch.Tensor) -> torch.Tensor:
            outputs, _ = self._model.apply(network, state, inputs, as_it_is, training=False)
            return outputs

        if self._task == "next_character":
            return apply(x)
        scaled = x.double() - scaling["inputs.offset"]
        if "inputs.rotation" in scaling:
            scaled = scaled @ scaling["inputs.rotation"]
        scaled = scaled / scaling["inputs.scale"]
        outputs = apply(scaled.to(next(iter(network.values())).dtype))
        if self._task == "reconstruction":
            return outputs.view(x.shape) * scaling["inputs.scale"] + scaling["inputs.offset"]
        if self._task in ("regression", "multitask"):  # class scores have offset 0 and scale 1
            return outputs * scaling["targets.scale"] + scaling["targets.offset"]
        return outputs

    def decode(self, outputs: torch.Tensor) -> dict[str, list[Any]]:
        """What the model says of each of `targets`, by name: for every row the likeliest class, as
        it was called in the data, or a number in its own units.

        Args:
            outputs: as `forward` gives them, [N, outputs].
        """
        return {
            target.name: [target.classes[k] for k in own.argmax(1).tolist()]
            if target.classes
            else own[:, 0].tolist()
            for target, own in zip(self.targets, split(self.targets, outputs), strict=True)
        }

    def encode(self, text: str) -> torch.Tensor:
        """A text as numbers of its characters, int64 [1, L]; 0 where the vocabulary has none."""
        return torch.tensor([[max(self.vocabulary.find(character), 0) for character in text]])


def _tree(tensors: Named) -> torch.nn.Module:
    """A module that holds tensors under dotted names, as a module of layers would."""
    root = torch.nn.Module()
    for path, tensor in tensors.items():
        *parents, name = path.split(".")
        module = root
        for parent in parents:
            if parent not in dict(module.named_children()):
                module.add_module(parent, torch.nn.Module())
            module = module.get_submodule(parent)
        module.register_parameter(name, torch.nn.Parameter(tensor, requires_grad=False))
    return root


class EnsembleModel(torch.nn.Module):
    """The mean of what several trained models make of the same inputs.

    Args:
        members: of one config, at least two.
    """

    def __init__(self, members: Sequence[TrainedModel], task: Task) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)
        self.vocabulary = members[0].vocabulary
        self.encode = members[0].encode
        self._classes = SCORES[task] == "error"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As of a `TrainedModel`; scores of classes are logarithms of mean probabilities."""
        outputs = torch.stack([member(x) for member in self.members])
        return mean_probability(outputs) if self._classes else outputs.mean(0)


def trained(config: TrainConfig, weights: Path, folder: Path) -> TrainedModel | EnsembleModel:
    """The model of a file that a trial has left, on the CPU, in evaluation mode.

    Raises:
        InputError: the file is of a trial with another config.
    """
    members, facts = _read(weights)
    models = [_trained(config, tensors, facts, weights, folder) for tensors in members]
    if len(models) == 1:
        return models[0]
    return EnsembleModel(models, facts["task"]).eval()


def _read(weights: Path) -> tuple[list[dict[str, torch.Tensor]], Json]:
    """Tensors of each model in a file, and facts; see `TrialFiles.join`."""
    tensors, facts = checkpoint.read(weights)
    if "members" not in facts:
        return [tensors], facts
    members: list[dict[str, torch.Tensor]] = [{} for _ in range(facts["members"])]
    for path, tensor in tensors.items():
        k, _, name = path.partition("/")
        members[int(k)][name] = tensor
    return members, facts


def _trained(
    config: TrainConfig, tensors: dict[str, torch.Tensor], facts: Json, weights: Path, folder: Path
) -> TrainedModel:
    inputs, outputs = _inputs(facts), facts["outputs"]
    targets = tuple(Target(name, tuple(classes)) for name, classes in facts["targets"])
    model = config.model.bound(folder, inputs, outputs, targets)
    shapes = model.shapes(inputs, outputs)
    found = {name: tuple(t.shape) for name, t in tensors.items() if name in shapes}
    if found != shapes:
        raise InputError(
            f"{weights} has weights of another config: {found}, expected {shapes}",
            "take config and weights from one bundle",
        )
    network = {name: tensors.pop(name) for name in shapes}
    expected = model.init_state(network)
    scaling = {name: t for name, t in tensors.items() if name.startswith(checkpoint.SCALINGS)}
    state = {name: t for name, t in tensors.items() if name not in scaling}
    if state.keys() != expected.keys():
        raise InputError(
            f"{weights} has the state of another config: {sorted(state)}, "
            f"expected {sorted(expected)}",
            "take config and weights from one bundle",
        )
    return TrainedModel(
        model, network, state, scaling, facts["task"], facts["vocabulary"], targets
    ).eval()


def _inputs(facts: Json) -> tuple[int, ...]:
    inputs = tuple(facts["inputs"])
    return Window(*inputs) if facts["task"] == "next_character" else inputs


def example(weights: Path) -> np.ndarray:
    """Inputs of the shape that the model of a file takes, float32 [2, ...]: the training split's
    means; or two windows of a text, int64 [2, L]."""
    (tensors, *_), facts = _read(weights)
    inputs = _inputs(facts)
    if isinstance(inputs, Window):
        return np.resize(np.arange(inputs.characters), (EXAMPLES, inputs.length))
    offset, rotation = tensors["inputs.offset"].numpy(), tensors.get("inputs.rotation")
    shape = inputs if rotation is None else offset.shape
    return np.broadcast_to(offset, (EXAMPLES, *shape)).astype(np.float32)
