"""How far a trial is: all that it needs to go on exactly as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import HpoError
from hpo.lazy import lazy
from hpo.records import Json
from hpo.train import checkpoint
from hpo.train.normalizations import ModelState
from hpo.train.problem import Problem
from hpo.train.regularizers.base import State

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

RUNNING = "running.safetensors"  # while the trial trains
MODEL = "model.safetensors"  # what it leaves when done
ENSEMBLE = "ensemble.safetensors"  # what all of its seeds leave together


@dataclass(frozen=True, slots=True)
class Kept:
    """The weights a trial will leave, [P], the model's state that belongs to them, and what they
    reached in their epoch."""

    params: torch.Tensor
    state: ModelState
    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a trial stands at the end of an epoch.

    Args:
        epoch: epochs done.
        params: being trained, [P].
        metrics: of that epoch.
        kept: `None` before the first epoch.
    """

    epoch: int
    params: torch.Tensor
    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    kept: Kept | None = None

    def result(self) -> dict[str, float]:
        """The metrics of the kept weights, and which epoch of how many they are from."""
        assert self.kept is not None
        return {**self.kept.metrics, "best_epoch": self.kept.epoch, "epochs": self.epoch}


class TrialFiles:
    """The files of one trial.

    A file of another config, seed or refit is refused: going on from it would mix two trials.
    """

    def __init__(self, folder: Path, problem: Problem, seed: int) -> None:
        self._running = folder / RUNNING
        self._model = folder / MODEL
        self._problem = problem
        self._owner = {
            "config": problem.config.model_dump(mode="json"),
            "seed": seed,
            "refit": problem.refit,
        }

    def save(self, progress: Progress) -> None:
        """Keeps where the trial stands."""
        assert progress.kept is not None
        tensors = {"params": progress.params}
        # Without early stopping, or at a best epoch, the kept weights are the present ones.
        if progress.kept.params is not progress.params:
            tensors["kept/params"] = progress.kept.params
            tensors |= {f"kept/state/{name}": own for name, own in progress.kept.state.items()}
        for part, own in progress.state.items():
            tensors |= {f"state/{part}/{name}": tensor for name, tensor in own.items()}
        facts = {
            "epoch": progress.epoch,
            "metrics": progress.metrics,
            "kept": {"epoch": progress.kept.epoch, "metrics": progress.kept.metrics},
            "parts": list(progress.state),
        }
        checkpoint.write(self._running, tensors, {**self._owner, **facts})

    def resume(self) -> Progress | None:
        """Where the trial stood when it was last saved; `None` if it never was."""
        if not self._running.exists():
            return None
        tensors, facts = self._read(self._running)
        tensors = {name: tensor.to(self._problem.device) for name, tensor in tensors.items()}
        state: State = {part: {} for part in facts["parts"]}
        for path, tensor in tensors.items():
            if path.startswith("state/"):
                _, part, name = path.split("/")
                state[part][name] = tensor
        kept = Kept(tensors["params"], state["model"], **facts["kept"])
        if "kept/params" in tensors:
            own = {name: tensors[f"kept/state/{name}"] for name in state["model"]}
            kept = replace(kept, params=tensors["kept/params"], state=own)
        return Progress(facts["epoch"], tensors["params"], state, facts["metrics"], kept)

    def finish(self, progress: Progress) -> None:
        """Leaves the kept weights and state by name, and what a model of them needs, and nothing
        else."""
        assert progress.kept is not None
        splits = self._problem.splits
        tensors = self._problem.layout.split(progress.kept.params) | progress.kept.state
        for name, scaler in (("inputs", splits.scale_inputs), ("targets", splits.scale_targets)):
            tensors |= {
                f"{name}.{key}": torch.from_numpy(array) for key, array in scaler.arrays().items()
            }
        facts = {
            "epoch": progress.epoch,
            "metrics": progress.metrics,
            "result": progress.result(),
            "inputs": splits.inputs,
            "outputs": splits.outputs,
            "task": splits.task,
            "vocabulary": splits.vocabulary,
            "targets": splits.targets,
        }
        checkpoint.write(self._model, tensors, {**self._owner, **facts})
        for left in self._running.parent.glob(f"{RUNNING}*"):  # a killed writer's scratch, too
            left.unlink(missing_ok=True)

    def finished(self) -> tuple[int, dict[str, float], dict[str, float]] | None:
        """The last epoch, its metrics and the trial's result; `None` if it is not done."""
        if not self._model.exists():
            return None
        _, facts = self._read(self._model)
        return facts["epoch"], facts["metrics"], facts["result"]

    def model(self) -> tuple[torch.Tensor, ModelState]:
        """The kept weights, [P], and the model's state that belongs to them.

        Raises:
            HpoError: the trial has not left any.
        """
        if not self._model.exists():
            raise HpoError(
                f"{self._model}: there is no such file",
                "only a trial that ran to its end leaves its weights",
            )
        tensors, _ = self._read(self._model)
        tensors = {name: tensor.to(self._problem.device) for name, tensor in tensors.items()}
        state = {name: tensors[name] for name in self._problem.config.model.init_state(tensors)}
        return self._problem.layout.join(tensors), state

    def join(self, members: Sequence[TrialFiles]) -> None:
        """Leaves what trials with one config have left, this one first, in one file beside its own:
        each tensor under the number of its trial and its name."""
        read = [member._read(member._model) for member in members]
        tensors = {
            f"{k}/{name}": tensor for k, (own, _) in enumerate(read) for name, tensor in own.items()
        }
        (_, facts), *_ = read
        checkpoint.write(self._model.with_name(ENSEMBLE), tensors, {**facts, "members": len(read)})

    def _read(self, path: Path) -> tuple[dict[str, torch.Tensor], Json]:
        tensors, facts = checkpoint.read(path)
        owner = {key: facts.get(key) for key in self._owner}
        if owner != self._owner:
            raise HpoError(
                f"{path}: it was written by a trial with another config, seed or refit",
                "give each trial a folder of its own, or remove the file to start over",
            )
        return tensors, facts
