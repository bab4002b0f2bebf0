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
from hpo.trainable.pack import Pack
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

    def fusion_key(self, config: Config) -> str | None:
        """What trials must have in common to train together; `None`: this one trains alone."""
        return None

    def why_alone(self, config: Config, folder: Path) -> str:
        """Why trials of this config train alone all the same; empty if they train together.

        Asked once for each fusion key, on the worker: what can only be found by trying is tried.
        """
        return ""

    def room(self, config: Config, folder: Path, share: float) -> int:
        """How many trials of this config's fusion key fit on this worker; measured, if need be.

        Args:
            folder: of the study file.
            share: of the device that is this worker's, in (0, 1].
        """
        return 1

    def fewest(self, config: Config) -> int:
        """How many trials of this config's fusion key must be on hand for a pack to pay.

        Asked on the worker, for `resources.pack: auto` alone: where fewer are, each trains alone.
        """
        return 1

    def run_many(self, pack: Pack) -> None:
        """Trains the members of a pack together; each comes to what `run` would come to.

        Only asked of trials that have a fusion key. If it raises, members that have not ended are
        run in smaller packs where memory was short, else each alone.
        """
        raise NotImplementedError

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
        `torch.export` must be able to trace it; then it can be served.

        Args:
            weights: a file that `weights` gave.
            folder: of the study file, or of the bundle.

        Raises:
            InputError: this trainable builds no models.
        """
        raise InputError(
            "this trainable does not say how its model is built",
            "put @hpo.model(build, inputs=SHAPE) on the training function, or subclass"
            " hpo.Trainable and write its methods model and example",
        )

    def example(self, config: Config, weights: Path, folder: Path) -> Any:
        """Inputs for `model`, as a NumPy array [2 or more, ...]: what an export is traced with.

        `None` where this trainable builds no models.
        """
        return None

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


@dataclass(frozen=True, slots=True)
class Built:
    """How the model of a training function is built.

    Args:
        build: from a config to the module, untrained; its state dict has the names and shapes of
            the tensors in the `model.safetensors` that the function leaves.
        inputs: the shape of one example, without the batch.
    """

    build: Callable[[Config], Any]
    inputs: tuple[int, ...]


def model(build: Callable[[Config], Any], inputs: tuple[int, ...]) -> Callable[[F], F]:
    """Says how the model of a training function is built, so that it can be loaded and served.

    The function leaves the model's state dict as `model.safetensors` in `trial.checkpoint_dir`.

    Args:
        build: from a config to the `torch.nn.Module`, untrained. It takes float32 [N, *inputs] as
            the user has them; a model of anything else needs a subclass of `hpo.Trainable`.
        inputs: the shape of one example, without the batch.

    Example:
        >>> def net(config):
        ...     return torch.nn.Linear(4, config["classes"])
        >>> @model(net, inputs=(4,))
        ... def train(config, trial):
        ...     return {"loss": 0.0}
    """

    def decorate(function: F) -> F:
        function.built = Built(build, tuple(inputs))  # type: ignore[attr-defined]
        return function

    return decorate


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
        self._built: Built | None = getattr(function, "built", None)

    def run(self, config: Config, trial: Trial) -> Mapping[str, float] | None:
        return self.function(config, trial)

    def model(self, config: Config, weights: Path, folder: Path) -> Any:
        if self._built is None:
            return super().model(config, weights, folder)
        from safetensors.torch import load_file

        built = self._built.build(config)
        try:
            built.load_state_dict(load_file(weights))
        except RuntimeError as error:  # it names every tensor that does not fit
            raise InputError(
                f"{weights} does not fit the model that {self._built.build.__name__} builds:"
                f" {error}",
                "leave that model's own state dict as model.safetensors",
            ) from error
        return built.eval()

    def example(self, config: Config, weights: Path, folder: Path) -> Any:
        if self._built is None:
            return None
        import numpy as np

        return np.zeros((2, *self._built.inputs), np.float32)
