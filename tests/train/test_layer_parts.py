"""Methods that compare the units of a layer: which layers they touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from train_helpers import config

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.layout import Layout
from hpo.train.regularizers.mma import Mma

SHAPES = {
    "conv.weight": (4, 1, 3, 3),
    "dense.weight": (5, 6),
    "dense.bias": (5,),
    "gates.weight": (6, 3),
    "head.weight": (1, 5),
}
LAYOUT = Layout(SHAPES, blocks={"conv.weight": 4, "gates.weight": 3})


def test_rows_are_compared_within_their_block_and_single_ones_left_alone() -> None:
    part = Mma(strength=1.0)
    assert part.names(LAYOUT) == ["dense.weight", "gates.weight"], "depthwise: one row a block"
    params = LAYOUT.split(torch.arange(float(LAYOUT.size)))
    found = list(part.matrices(params, LAYOUT))
    assert [tuple(matrix.shape) for matrix in found] == [(5, 6), (2, 3), (2, 3), (2, 3)]
    assert torch.equal(found[2], params["gates.weight"][2:4])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["layers.7"], r"^regularization\.mma\.layers: the model has no weights layers\.7"),
        ("conv", r"^regularization\.mma\.layers: the model has no weights conv"),
    ],
)
def test_a_layer_that_is_not_there_is_refused(tmp_path: Path, layers: Any, message: str) -> None:
    case = config(regularization={"mma": {"strength": 0.1, "layers": layers}})
    with pytest.raises(InputError, match=message) as refused:
        trainer.check(case, tmp_path)
    assert "layers.0.weight" in refused.value.hint


def test_layers_in_which_there_is_nothing_to_compare_are_refused(tmp_path: Path) -> None:
    changes = {"data": {"kind": "sklearn", "name": "diabetes"}}
    part = {"mma": {"strength": 0.1, "layers": ["layers.1"]}}
    with pytest.raises(InputError, match=r"regularization\.mma compares units"):
        trainer.check(config(**changes, regularization=part), tmp_path)
    trainer.check(config(**changes, regularization={"mma": {"strength": 0.1}}), tmp_path)


def test_groups_of_a_convolution_of_ones_own_are_known(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n\n"
        "def net(inputs, outputs):\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(),\n"
        "                         nn.Linear(96, outputs))\n"
    )
    data = {"kind": "sklearn", "name": "digits"}
    model = config(data=data, model={"kind": "custom", "build": "nets:net"}).model
    layout = model.bound(tmp_path, (1, 8, 8), 10, ()).layout((1, 8, 8), 10)
    kernels = layout.split(torch.randn(layout.size))
    assert layout.matrices("0.weight", kernels["0.weight"]).shape == (1, 4, 9)
    assert layout.matrices("1.weight", kernels["1.weight"]).shape == (2, 3, 18)
