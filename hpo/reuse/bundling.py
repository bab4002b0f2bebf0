"""What a finished study leaves for production: one bundle for each result it has come to."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from hpo import datasets, frozen, seeds
from hpo.asking import ended_run
from hpo.bundle import (
    WEIGHTS,
    Bundle,
    Contents,
    describe,
    newest,
    numbered,
    open_bundle,
    read_manifest,
    write_bundle,
)
from hpo.errors import InputError
from hpo.home import StudyFolder
from hpo.records import Json, StageName, TrialSpec
from hpo.report.kept import Kept, KeptFinal
from hpo.reuse.provenance import provenance
from hpo.studyfile import Study

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    """What a study has come to.

    Args:
        trial: that found the config.
        seeds: of the runs that the metrics are from.
        stage, weights: the run that the weights are of.
    """

    trial: int
    config: Mapping[str, Json]
    seeds: tuple[int, ...]
    validation: dict[str, tuple[float, ...]]
    test: dict[str, tuple[float, ...]]
    stage: StageName
    weights: TrialSpec
    refit: bool = False

    def is_in(self, contents: Contents) -> bool:
        """Whether a bundle tells of it."""
        names = ("trial", "config", "seeds", "validation", "test", "refit")
        return all(getattr(self, name) == getattr(contents, name) for name in names)


def leave(
    study: Study, folder: StudyFolder, kept: Kept | None, trial: int | None = None
) -> Bundle | None:
    """Writes a bundle of what a study has come to; called by whoever holds the study's lock.

    A result that is the newest bundle's leaves no other.

    Args:
        kept: of the study, its test metrics among it.
        trial: which of the best; with several objectives somebody has to choose.

    Returns:
        The bundle of this result; `None` while the study is not finished, or where nobody chose.

    Raises:
        InputError: that trial is not among the best.
        StudyFailed: the trainable cannot say what the bundle must have.
    """
    if kept is None or not kept.complete:
        return None
    if study.file.final is not None and kept.final is None:
        return None  # its winner is not known yet
    if len(kept.objectives) > 1 and trial is None:
        return None
    for scratch in folder.bundles.glob(".bundle-*"):  # of a process that was killed
        shutil.rmtree(scratch, ignore_errors=True)
    result = _result(study, kept, trial)
    weights, data = _asked(study, folder, result)
    contents = Contents(
        study=study.name,
        study_id=frozen.study_id(folder),
        trainable=study.file.trainable,
        trial=result.trial,
        config=dict(result.config),
        derived=dict(study.trainable.derived(result.config)),
        space=study.file.space,
        objectives=kept.objectives,
        seeds=result.seeds,
        validation=result.validation,
        test=result.test,
        refit=result.refit,
        provenance=provenance(study.file.trainable, study.folder, folder, data),
    )
    if (same := _newest_if_same(folder, contents, weights)) is not None:
        return same
    return write_bundle(numbered(folder.bundles), contents, study.text, weights)


def left(study: Study, folder: StudyFolder, kept: Kept, trial: int | None = None) -> Bundle | None:
    """The newest bundle, every file of it checked, if it tells of this result.

    Nothing is written, and the trainable is not asked. Args and Raises as for `leave`.
    """
    bundle = _newest(folder)
    if bundle is None or not _result(study, kept, trial).is_in(bundle.contents):
        return None
    return bundle


def _result(study: Study, kept: Kept, trial: int | None) -> _Result:
    if kept.final is not None:
        return _of_final(kept.final, kept.objectives[0].metric)
    best = kept.one(trial)
    seed = seeds.of_trial(study.file.search.seed, best.trial)
    return _Result(
        trial=best.trial,
        config=best.config,
        seeds=(seed,),
        validation={name: (value,) for name, value in best.metrics.items()},
        test={name: (value,) for name, value in best.test.items()},
        stage="search",
        weights=TrialSpec(best.trial, best.config, seed, lease=""),
    )


def _of_final(final: KeptFinal, metric: str) -> _Result:
    winner = final.winner
    assert winner.trial is not None, "the baseline cannot win"
    first = min(winner.runs)
    number = winner.runs[first] if final.refit is None else final.refit
    return _Result(
        trial=winner.trial,
        config=winner.config,
        seeds=tuple(final.seeds[repeat] for repeat in winner.runs),
        validation={metric: winner.values, **winner.metrics},
        test=winner.test,
        stage="final",
        weights=TrialSpec(number, winner.config, final.seeds[first], lease=""),
        refit=final.refit is not None,
    )


def _asked(
    study: Study, folder: StudyFolder, result: _Result
) -> tuple[Path | None, Mapping[str, str]]:
    """The weights and the digests of the data, from the trainable."""
    checkpoints = frozen.open_checkpoints(folder, result.stage)
    with ended_run(study, checkpoints, result.weights, "bundle") as (config, trial):
        weights = study.trainable.weights(config, trial)
        data = datasets.digests(study.trainable, config, study.folder)
        if weights is not None:
            check_weights(weights)
    return weights, data


def check_weights(path: Path) -> None:
    """Raises InputError unless a file is in safetensors: a pickle could run code when read."""
    try:
        with safe_open(path, "np"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} must be in safetensors: {error}",
            "write it with safetensors.torch.save_file(model.state_dict(), path)",
        ) from None


def _newest(folder: StudyFolder) -> Bundle | None:
    path = newest(folder.bundles)
    if path is None:
        return None
    try:
        return open_bundle(path)
    except InputError as error:
        log.warning(f"the newest bundle is left aside: {error.message}")
        return None


def _newest_if_same(folder: StudyFolder, contents: Contents, weights: Path | None) -> Bundle | None:
    """The newest bundle, if it has this result; who computed it where makes no other one."""
    bundle = _newest(folder)
    if bundle is None:
        return None
    found = read_manifest(bundle.folder).files.get(WEIGHTS)
    before, now = (
        each.model_dump_json(exclude={"provenance": True, "space": True})
        for each in (bundle.contents, contents)
    )
    same = before == now and found == (describe(weights) if weights else None)
    return bundle if same else None
