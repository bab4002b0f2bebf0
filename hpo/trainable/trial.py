"""What a trainable sees of its trial."""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hpo.errors import HpoError
from hpo.records import Decision, Report, TrialSpec


class TrialStopped(BaseException):
    """Raised by `Trial.report` when the trial should end.

    Let it pass: it is not an `Exception`, so that `except Exception` in training code does not
    catch it. `finally` blocks and context managers run as usual.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision)
        self.decision = decision


class Trial:
    """One execution of one trial, as handed to the user's function.

    Attributes:
        number: from 0, unique in the study.
        seed: an int in [0, 2**31) derived from the study's seed and the number; seed your own
            random generators with it and the study can be repeated.
        folder: the folder of the study file; relative paths in a config count from here.
        refit: how many steps (epochs, usually) to train for on training and validation rows
            together; `None`: on the training rows, as usual. Only set where the trainable `refits`.
        stopped: why the trial should end, once it was told to; every report then says so again.
        checkpoint_dir: a folder for what the trial needs to go on after a crash. It exists, and is
            empty the first time. It is kept while the trial may run again and, once it is complete,
            as long as it is the best of the study.
    """

    def __init__(
        self,
        spec: TrialSpec,
        folder: Path,
        checkpoint_dir: Path,
        report: Callable[[Report], Decision],
    ) -> None:
        self.number = spec.number
        self.seed = spec.seed
        self.refit = spec.refit
        self.folder = folder
        self.checkpoint_dir = checkpoint_dir
        checkpoint_dir.mkdir(parents=True, exist_ok=True)
        self.stopped: Decision | None = None
        self._report = report

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        """Hands in metrics at one step.

        Args:
            metrics: numbers by name; the first report must have the study's objective among them.
                A NaN or infinity in the objective, in `loss` or in `..._loss` ends the trial as
                diverged.
            step: how far the trial is, from 1; an epoch, usually. Pruners compare trials by it.

        Raises:
            TrialStopped: the trial should end here (pruned, diverged, or the study is stopping).
            HpoError: a metric is not a number, or the step not a whole number from 1.
        """
        report = check_report(metrics, step)
        if self.stopped is None:
            decision = self._report(report)
            self.stopped = None if decision is Decision.GO_ON else decision
        if self.stopped is not None:
            raise TrialStopped(self.stopped)


def check_report(metrics: object, step: object) -> Report:
    """Metrics and step as they are recorded.

    Raises:
        HpoError: a metric is not a number, or the step not a whole number from 1.
    """
    if isinstance(step, bool) or not isinstance(step, numbers.Integral) or step < 1:
        raise HpoError(f"a step is a whole number from 1, got {step!r}")
    return Report(int(step), check_metrics(metrics), time.time())


def check_metrics(metrics: object) -> dict[str, float]:
    """The metrics as plain floats by name; zero-dimensional tensors and arrays are numbers, too.

    Raises:
        HpoError: not a mapping of names to numbers.
    """
    if not isinstance(metrics, Mapping):
        raise HpoError(f"metrics are a dict of numbers by name, got {type(metrics).__name__}")
    checked = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or not name:
            raise HpoError(f"a metric's name is a non-empty string, got {name!r}")
        try:
            if isinstance(value, (str, bytes)):
                raise TypeError
            checked[name] = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise HpoError(
                f"metric {name!r} must be a number, got {value!r:.80} ({type(value).__name__})",
                "return or report a float, or a tensor or array of one element",
            ) from None
    return checked
