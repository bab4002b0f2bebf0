"""Hyperparameter search for people who care how well their models generalise."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo.errors import HpoError as HpoError
    from hpo.errors import InputError as InputError
    from hpo.errors import StudyFailed as StudyFailed
    from hpo.result import StudyResult as StudyResult
    from hpo.result import load_study as load_study
    from hpo.reuse.loading import load_best as load_best
    from hpo.reuse.loading import load_model as load_model
    from hpo.reuse.promote import promote as promote
    from hpo.reuse.reproduce import reproduce as reproduce
    from hpo.study import run as run
    from hpo.trainable import Trainable as Trainable
    from hpo.trainable import Trial as Trial
    from hpo.trainable import TrialStopped as TrialStopped
    from hpo.trainable import deterministic as deterministic
    from hpo.trainable import model as model

__version__ = "0.1.0"

# Looked up on first use: `import hpo` in a training script must not load ray, optuna or mlflow.
_WHERE = {
    "HpoError": "hpo.errors",
    "InputError": "hpo.errors",
    "StudyFailed": "hpo.errors",
    "StudyResult": "hpo.result",
    "Trainable": "hpo.trainable",
    "Trial": "hpo.trainable",
    "TrialStopped": "hpo.trainable",
    "deterministic": "hpo.trainable",
    "load_best": "hpo.reuse.loading",
    "load_model": "hpo.reuse.loading",
    "load_study": "hpo.result",
    "model": "hpo.trainable",
    "promote": "hpo.reuse.promote",
    "reproduce": "hpo.reuse.reproduce",
    "run": "hpo.study",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'hpo' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
