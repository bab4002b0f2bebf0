from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hpo.train.losses import CrossEntropy, Mse, default_loss
from hpo.train.losses.cross_entropy import smoothed_cross_entropy

LOGITS = torch.from_numpy(np.random.RandomState(50).standard_normal((3, 4)))
CLASSES = torch.tensor([0, 2, 3])


def test_label_smoothing_known_value() -> None:
    smoothed = CrossEntropy(label_smoothing=0.1).training(LOGITS, CLASSES)
    assert smoothed.item() == pytest.approx(1.8629531325972106, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.3, 0.99])
def test_label_smoothing_equals_torch(smoothing: float) -> None:
    expected = F.cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing)
    tensor = torch.tensor(smoothing, dtype=torch.float64)
    for value in (smoothing, tensor):
        found = smoothed_cross_entropy(LOGITS, CLASSES, value)
        assert found.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_smoothing_it_is_torchs(dtype: torch.dtype) -> None:
    logits = LOGITS.to(dtype, copy=True).requires_grad_()
    for targets in (CLASSES, torch.softmax(LOGITS.to(dtype).flip(0), 1)):
        values = CrossEntropy().training(logits, targets), F.cross_entropy(logits, targets)
        assert values[0].item() == pytest.approx(values[1].item(), rel=1e-6)
        found, expected = (torch.autograd.grad(value, logits)[0] for value in values)
        torch.testing.assert_close(found, expected)


def test_the_textbook_convention_is_another_strength() -> None:
    eps, classes = 0.1, 4
    found = smoothed_cross_entropy(LOGITS, CLASSES, eps * classes / (classes - 1))
    assert found.item() == pytest.approx(1.8578380099168008, rel=1e-6)


def test_evaluation_does_not_smooth() -> None:
    loss = CrossEntropy(label_smoothing=0.3)
    assert loss.evaluation(LOGITS, CLASSES).item() == pytest.approx(1.87829850063844, rel=1e-6)


def test_mse() -> None:
    outputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [4.0]])
    assert Mse().training(outputs, targets).item() == 2.5
    assert Mse().evaluation(outputs, targets).item() == 2.5


def test_the_task_decides_the_default() -> None:
    assert isinstance(default_loss("classification"), CrossEntropy)
    assert isinstance(default_loss("regression"), Mse)
