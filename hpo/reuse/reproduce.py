"""A best config run again from its bundle."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo import datasets
from hpo.bundle import Contents, Provenance
from hpo.differences import differences
from hpo.endings import has_diverged
from hpo.errors import InputError, StudyFailed
from hpo.home import Home, StudyFolder
from hpo.records import Decision, Objective, Report, TrialSpec
from hpo.repeated import Repeated
from hpo.reuse.loading import Chosen, chosen, code_folder, found_bundle
from hpo.reuse.provenance import provenance
from hpo.trainable import Trial, TrialStopped, check_metrics

EXACT = 1e-6
"""Relative difference up to which two values are the same."""

STANDARD_ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Rerun:
    """One objective, as it was stated and as it was found again from the same seeds.

    Args:
        stated, found: by seed, in one order.
        tolerance: how far the two means may be apart: two standard errors of a mean of so many
            seeds, by the stated spread; 0 where a single seed was stated.
    """

    objective: Objective
    stated: Repeated
    found: Repeated
    tolerance: float

    @property
    def exact(self) -> bool:
        pairs = zip(self.stated.values.values(), self.found.values.values(), strict=True)
        return all(math.isclose(a, b, rel_tol=EXACT, abs_tol=EXACT) for a, b in pairs)

    @property
    def met(self) -> bool:
        """Every value is the same to 1e-6, or the means differ by no more than chance does."""
        return self.exact or abs(self.found.mean - self.stated.mean) <= self.tolerance

    def __str__(self) -> str:
        how = "the same to the last digit that counts" if self.exact else "within the stated spread"
        if not self.met:
            how = f"not within the stated spread, ± {self.tolerance:.2g}"
        return f"{self.objective.metric}: stated {self.stated}, found {self.found}: {how}"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of it.

    Args:
        differences: in code, packages and data; a line each.
    """

    study: str
    reruns: tuple[Rerun, ...]
    differences: tuple[str, ...]

    @property
    def met(self) -> bool:
        return all(rerun.met for rerun in self.reruns)


def reproduce(
    reference: str | Path,
    *,
    repeats: int | None = None,
    home: str | Path | Home | None = None,
    tracking_uri: str | None = None,
    code: str | Path | None = None,
    observer: Callable[[int, int], None] = lambda done, total: None,
) -> Reproduction:
    """Runs a best config again in this process, from the seeds of its bundle.

    Nothing is written into the study. An objective is met if every run gives what was stated to
    1e-6, as it does on the same machine; or if the mean is within two standard errors of the one
    stated for these seeds, the standard error being the stated deviation over the square root of
    the number of seeds run. Of a single stated run there is no spread, and the value must be met.

    Args:
        reference: as for `hpo.load_model`.
        repeats: how many of the seeds, the first ones; default: all.
        code: the folder to run in; default: the study's, if this home has it.
        observer: called with the number of runs done and of all.

    Raises:
        InputError: there is no such bundle, or its config cannot be run here.
        StudyFailed: a run failed.
    """
    if repeats is not None and repeats < 1:
        raise InputError(f"repeats must be at least 1, got {repeats}", "leave it out for all seeds")
    home = Home.at(home)
    found = found_bundle(reference, home, tracking_uri, code)
    contents, one = found.bundle.contents, chosen(found)
    folder = code_folder(found)
    trainable, config = one.load(), one.typed()
    trainable.check(config, folder)
    data = datasets.digests(trainable, config, folder)
    now = provenance(one.trainable, folder, home.study(contents.study), data)
    seeds = contents.seeds[:repeats]
    results: list[Mapping[str, float]] = []
    for seed in seeds:
        observer(len(results), len(seeds))
        results.append(_run(one, contents, folder, seed))
    observer(len(seeds), len(seeds))
    return Reproduction(
        study=contents.study,
        reruns=tuple(_rerun(o, contents, results) for o in contents.objectives),
        differences=tuple(differing(contents.provenance, now)),
    )


def differing(before: Provenance, now: Provenance) -> Iterator[str]:
    """What differs in code, packages and data, as far as it is known."""
    if before.code != now.code:
        yield "code: the Python files in the study file's folder are others"
    if before.commit != now.commit:
        yield f"code: commit {before.commit or 'unknown'} -> {now.commit or 'unknown'}"
    for each, when in ((before, "then"), (now, "now")):
        if each.clean is False:
            yield f"code: there were changes that were not committed, {when}"
    for what in ("python", "platform", "packages", "data"):
        yield from differences(getattr(before, what), getattr(now, what), what)


def _rerun(objective: Objective, contents: Contents, results: list[Mapping[str, float]]) -> Rerun:
    whole = contents.repeated(contents.validation[objective.metric])
    seeds = contents.seeds[: len(results)]
    error = whole.standard_deviation / math.sqrt(len(results)) if whole.n > 1 else 0.0
    return Rerun(
        objective=objective,
        stated=Repeated({seed: whole.values[seed] for seed in seeds}),
        found=Repeated({s: r[objective.metric] for s, r in zip(seeds, results, strict=True)}),
        tolerance=STANDARD_ERRORS * error,
    )


def _run(one: Chosen, contents: Contents, folder: Path, seed: int) -> Mapping[str, float]:
    """The final metrics of a run from one seed."""
    metrics: dict[str, float] = {}

    def report(report: Report) -> Decision:
        metrics.update(report.metrics)
        diverged = has_diverged(report.metrics, contents.objectives)
        return Decision.DIVERGE if diverged else Decision.GO_ON

    trainable = one.load()
    with tempfile.TemporaryDirectory(prefix="hpo-reproduce-") as scratch:
        spec = TrialSpec(contents.trial, one.config, seed, lease="")
        checkpoint = StudyFolder(Path(scratch)).checkpoint(contents.trial)
        trial = Trial(spec, folder, checkpoint, report)
        try:
            returned = trainable.run(one.typed(), trial)
            metrics |= {} if returned is None else check_metrics(returned)
        except TrialStopped:
            why = "a loss or the objective was not finite"
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        else:
            missing = [o.metric for o in contents.objectives if o.metric not in metrics]
            if not missing:
                return metrics
            why = f"it gave no {missing[0]}"
    raise StudyFailed(
        f"the run from seed {seed} failed: {why}",
        "what differs in code, packages or data may be why: hpo best shows the config",
    )
