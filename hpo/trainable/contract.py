"""The contract between search and training.

A trainable is a function `train(config, trial) -> dict | None`, or an object of a subclass of
`Trainable` that knows more about itself. The built-in trainer is one of the latter, and has no
other way in than users have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from hpo.errors import InputError
from hpo.records import Json
from hpo.trainable.trial import Trial

Config = Any  # an instance of `config_type`, or a plain dict where there is none


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a config is to train, as far as it differs from where it was found.

    Args:
        batch_size: rows of a step, of all workers together; `None`: as found, on each worker.
        epochs: `None`: as found.
        workers: data-parallel processes that share every step, 1 or more.
    """

    batch_size: int | None = None
    epochs: int | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Moved:
    """A config at another scale.

    Args:
        assumptions: what must hold for it to be as good there; for people, a line each.
    """

    config: Json
    assumptions: tuple[str, ...] = ()


class Trainable(ABC):
    """What runs a trial.

    Attributes:
        config_type: the Pydantic model of a config; `None` for a plain dict.
        deterministic: whether the config alone decides the result, whatever `trial.seed` says; then
            a config that was tried before is answered from the record and not run again.
        refits: whether `run` honours `trial.refit`; without it a study cannot ask for a refit. Of a
            refit only metrics named `train_...` are recorded, and it need not report the objective:
            the rows it would validate on are rows that it trains on.
        metrics: the names of the metrics every report carries, for a config of the study; asked
            before anything runs. `None` when only running can tell.
    """

    config_type: type[BaseModel] | None = None
    deterministic: bool = False
    refits: bool = False

    def metrics(self, config: Config) -> frozenset[str] | None:
        return None

    def steps(self, config: Config) -> int | None:
        """How many steps a trial of this config reports if nothing ends it; `None` if unknown."""
        return None

    def check(self, config: Config, folder: Path) -> None:
        """Whether this config could run here: data present and usable, for example.

        Called in the driver before the first trial, for configs that together take every choice of
        the space at least once. May be slow, but not as slow as training.

        Raises:
            InputError: it could not.
        """
        return None

    @abstractmethod
    def run(self, config: Config, trial: Trial) -> Mapping[str, float] | None:
        """Trains, reporting as it goes, and returns final metrics.

        Must start from `trial.checkpoint_dir` if something was saved there. Must let
        `TrialStopped` pass. What it returns, merged over the last report, is the trial's result.
        """

    def test(self, config: Config, trial: Trial) -> Mapping[str, float]:
        """Test metrics of a complete trial, from what it left in `trial.checkpoint_dir`.

        Called once, for the best trial, when the study is complete; never during the search.
        `trial.report` must not be called.
        """
        return {}

    def fingerprint(self, config: Config, folder: Path) -> Mapping[str, str]:
        """Digests of the data that a trial of this config sees, by name.

        Two runs with the same digests saw the same rows. Empty where the trainable cannot tell.

        Args:
            folder: of the study file; relative paths count from here.
        """
        return {}

    def weights(self, config: Config, trial: Trial) -> Path | None:
        """The trained model's weights, from what a complete trial left in `trial.checkpoint_dir`.

        Returns:
            A safetensors file of named tensors; `None` where there is none. By default
            `model.safetensors` in the checkpoint folder.
        """
        path = trial.checkpoint_dir / "model.safetensors"
        return path if path.is_file() else None

    def model(self, config: Config, weights: Path, folder: Path) -> Any:
        """The trained model as a `torch.nn.Module` on the CPU, in evaluation mode.

        It takes inputs as the user has them: what the trainer does to them first is part of it.

        Args:
            weights: a file that `weights` gave.
            folder: of the study file, or of the bundle.

        Raises:
            InputError: this trainable builds no models.
        """
        raise InputError(
            "this trainable does not say how its model is built",
            "subclass hpo.Trainable and write its method model(config, weights, folder)",
        )

    def derived(self, config: Json) -> Mapping[str, float]:
        """What follows from a config and is worth a column beside it, by dotted path.

        A learning rate that is scaled with the batch size, for example.
        """
        return {}

    def rescale(self, config: Json, to: Scale) -> Moved:
        """The config moved to another batch size or length by its own coupling rule.

        Raises:
            InputError: configs of this trainable have no such rule, or cannot be moved there.
        """
        raise InputError(
            "this trainable has no rule that couples batch size and learning rate",
            "only configs with a batch_lr section can be moved to another batch size or length",
        )


F = TypeVar("F", bound=Callable[..., Any])


def deterministic(function: F) -> F:
    """Declares that the config alone decides what a training function returns.

    A config that was tried before is then answered from the record and not run again.

    Example:
        >>> @deterministic
        ... def train(config, trial):
        ...     return {"loss": config["x"] ** 2}
    """
    function.deterministic = True  # type: ignore[attr-defined]
    return function


class FunctionTrainable(Trainable):
    """The user's own function."""

    def __init__(
        self,
        function: Callable[[Config, Trial], Mapping[str, float] | None],
        config_type: type[BaseModel] | None,
    ) -> None:
        self.function = function
        self.config_type = config_type
        self.deterministic = getattr(function, "deterministic", False)

    def run(self, config: Config, trial: Trial) -> Mapping[str, float] | None:
        return self.function(config, trial)
