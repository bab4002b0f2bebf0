"""What several tests of the trainer need."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hpo.records import Decision, Report, TrialSpec
from hpo.train.config import TrainConfig
from hpo.train.layout import Named
from hpo.train.models import ModelPart
from hpo.train.models.base import OnHidden, as_it_is
from hpo.trainable import Trial


def config(**changes: Any) -> TrainConfig:
    """A small config on iris."""
    small = {
        "data": {"kind": "sklearn", "name": "iris"},
        "model": {"kind": "mlp", "widths": [8]},
        "epochs": 4,
        "batch_lr": {"batch_size": 16},
        "device": "cpu",
    }
    return TrainConfig.model_validate(small | changes)


# Every part that trains on a table at once; strengths large enough to be seen.
EVERYTHING: dict[str, Any] = {
    "regularization": {
        "l1": {"strength": 0.003},
        "l2": {"strength": 0.01},
        "weight_decay": {"strength": 0.05},
        "max_norm": {"radius": 1.0},
        "weight_noise": {"sd": 0.02},
        "gradient_noise": {"sd": 0.02},
        "drop_connect": {"rate": 0.05},
        "mhe": {"strength": 0.01, "s": 0},
    },
    "dropout": {"input": 0.1, "hidden": 0.2},
    "augmentation": {"noise": {"sd": 0.1}, "mixup": {"alpha": 0.5}},
    "loss": {"kind": "cross_entropy", "label_smoothing": 0.1},
    "protocol": {
        "sam": {"radius": 0.05},
        "dsd": {"sparsity": 0.4},
        "averaging": {"kind": "ema", "decay": 0.9},
    },
    "clipping": {"norm": 0.5, "value": 0.2},
}


def outputs_of(
    model: ModelPart,
    params: Named,
    x: torch.Tensor,
    on_hidden: OnHidden = as_it_is,
) -> torch.Tensor:
    """What a model that keeps no state makes of inputs."""
    outputs, state = model.apply(params, {}, x, on_hidden, training=True)
    assert state == {}
    return outputs


class Died(BaseException):
    """A worker's end, of which its trial hears nothing."""


@dataclass
class Run:
    """A trial whose reports are kept, and which may be told to stop at a step, or die there."""

    folder: Path
    seed: int = 7
    stop_at: int | None = None
    die_at: int | None = None
    reports: list[Report] = field(default_factory=list)

    def trial(self) -> Trial:
        def report(report: Report) -> Decision:
            self.reports.append(report)
            if report.step == self.die_at:
                raise Died
            return Decision.PAUSE if report.step == self.stop_at else Decision.GO_ON

        return Trial(TrialSpec(0, {}, self.seed, "lease"), self.folder, self.folder / "ck", report)
