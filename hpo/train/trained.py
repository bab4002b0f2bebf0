"""What a trial has learned, as a module that takes inputs as the user has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hpo.errors import InputError
from hpo.train import checkpoint
from hpo.train.config import TrainConfig
from hpo.train.layout import Named
from hpo.train.models import ModelPart

EXAMPLES = 2
"""Rows of example inputs. Of one row an export would take the number of rows for a constant."""

SCALED = ("inputs.", "targets.")
"""How the names of scaling's tensors begin."""


class TrainedModel(torch.nn.Module):
    """A trained network between the scaling of its inputs and that of its targets.

    Scaling is done in float64, as it is before training, whatever precision the network has.

    Args:
        model: bound to the trial's data.
        network: its parameters, by name.
        state: the model's, by name.
        scaling: `offset`, `scale` and maybe `rotation` of `inputs` and `targets`, by dotted name.
        task: of the trial's data.
    """

    def __init__(
        self, model: ModelPart, network: Named, state: Named, scaling: Named, task: str
    ) -> None:
        super().__init__()
        self._model = model
        self._unscales = task == "regression"
        self.network = _tree(network)
        self.state = _tree(state)
        self.scaling = _tree(scaling)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores before the softmax [N, classes], classes in sorted order; or numbers [N, D]
        in the target's own units.

        Args:
            x: numbers [N, features], or images [N, channels, height, width].
        """
        network, state, scaling = (
            dict(part.named_parameters()) for part in (self.network, self.state, self.scaling)
        )
        scaled = x.double() - scaling["inputs.offset"]
        if "inputs.rotation" in scaling:
            scaled = scaled @ scaling["inputs.rotation"]
        scaled = scaled / scaling["inputs.scale"]
        dtype = next(iter(network.values())).dtype
        outputs, _ = self._model.apply(
            network, state, scaled.to(dtype), lambda h, site: h, training=False
        )
        if self._unscales:
            return outputs * scaling["targets.scale"] + scaling["targets.offset"]
        return outputs


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


def trained(config: TrainConfig, weights: Path, folder: Path) -> TrainedModel:
    """The model of a file that a trial has left, on the CPU, in evaluation mode.

    Raises:
        InputError: the file is of a trial with another config.
    """
    tensors, facts = checkpoint.read(weights)
    inputs, outputs = tuple(facts["inputs"]), facts["outputs"]
    model = config.model.bound(folder, inputs, outputs)
    shapes = model.shapes(inputs, outputs)
    found = {name: tuple(t.shape) for name, t in tensors.items() if name in shapes}
    if found != shapes:
        raise InputError(
            f"{weights} has weights of another config: {found}, expected {shapes}",
            "take config and weights from one bundle",
        )
    network = {name: tensors.pop(name) for name in shapes}
    expected = model.init_state(network)
    scaling = {name: t for name, t in tensors.items() if name.startswith(SCALED)}
    state = {name: t for name, t in tensors.items() if name not in scaling}
    if state.keys() != expected.keys():
        raise InputError(
            f"{weights} has the state of another config: {sorted(state)}, "
            f"expected {sorted(expected)}",
            "take config and weights from one bundle",
        )
    return TrainedModel(model, network, state, scaling, facts["task"]).eval()


def example(weights: Path) -> np.ndarray:
    """Inputs of the shape that the model of a file takes, float32 [2, ...]: the training split's
    means."""
    tensors, facts = checkpoint.read(weights)
    offset, rotation = tensors["inputs.offset"].numpy(), tensors.get("inputs.rotation")
    inputs = facts["inputs"] if rotation is None else offset.shape
    return np.broadcast_to(offset, (EXAMPLES, *inputs)).astype(np.float32)
