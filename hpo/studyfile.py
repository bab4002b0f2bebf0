"""A study file, from text to a study that is known to make sense.

Nothing here loads torch, ray, optuna or mlflow: a study file is checked in a fraction of a second.
"""

from __future__ import annotations

import os.path
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hpo import trainable as trainables
from hpo.budget import BudgetSettings
from hpo.checkpoints import place_mistake
from hpo.errors import InputError, Mistake, Place, StudyFileError, TrainableError
from hpo.execute.settings import ResourceSettings
from hpo.final_settings import FinalSettings
from hpo.home import STUDY_NAME
from hpo.records import Json, Objective, Objectives
from hpo.search import grid, rules
from hpo.search.journal import storage_mistake
from hpo.search.pruners import NoPruner, PrunerSettings
from hpo.search.settings import SearchSettings
from hpo.settings import Settings
from hpo.space import (
    Document,
    Keys,
    OutsideSpace,
    Parameter,
    Space,
    check,
    dotted,
    parse_value,
    probes,
    read,
)
from hpo.space import locate as locate_in
from hpo.space.merge import merge
from hpo.space.messages import did_you_mean
from hpo.space.validate import validate
from hpo.track.settings import TrackingSettings
from hpo.trainable import Trainable

COMPLETIONS = 200
"""Draws to find a valid config for values that are given."""


class ObjectiveSettings(Settings):
    """What the study is about."""

    metric: str = Field(min_length=1, description="one of the metrics that the trainable reports")
    direction: Literal["minimize", "maximize"] = Field("minimize", description="which is better")

    @field_validator("metric")
    @classmethod
    def _not_test(cls, metric: str) -> str:
        if metric.startswith("test_"):
            raise ValueError(
                "test metrics are computed once, after the search; choose a validation metric"
            )
        return metric


class StudyFile(Settings):
    """A study file."""

    name: str = Field(pattern=f"^{STUDY_NAME.pattern}$", description="1 to 64 of a-z 0-9 - _")
    trainable: str = Field(description="builtin, or package.module:function")
    use: list[str] = Field(
        [], description="fragments of the space, merged in order; what space says wins"
    )
    space: dict[str, Any] = Field(
        description="the trainable's config; any value may be a distribution"
    )
    objective: list[ObjectiveSettings] = Field(
        min_length=1, description="what the study is about; a list of several for trade-offs"
    )
    search: SearchSettings
    pruner: PrunerSettings = Field(NoPruner(), description="which trials end early")
    budget: BudgetSettings = BudgetSettings()
    final: FinalSettings | None = Field(
        None, description="how the winner is found; null: by its value in the search"
    )
    baseline: dict[str, Any] | None = Field(
        None, description="a config to beat, which runs in the final stage beside the candidates"
    )
    priority: int = Field(
        0, description="on a service, of the studies that wait the one with the highest goes first"
    )
    resources: ResourceSettings = ResourceSettings()
    storage: str = Field(
        "default",
        description='where the record is: "default" is a file in the home folder; or '
        "postgresql://USER@HOST/DATABASE, the password in PGPASSWORD or ~/.pgpass",
    )
    checkpoints: str = Field(
        "default",
        description='where running trials save what they need to go on: "default" is the home '
        "folder, or what the service was started with; or a folder that all nodes share, or "
        "s3://BUCKET/PATH or gs://BUCKET/PATH, credentials in the environment",
    )
    tracking: TrackingSettings = TrackingSettings()

    @property
    def objectives(self) -> Objectives:
        return tuple(Objective(o.metric, o.direction) for o in self.objective)

    @field_validator(
        "objective",
        mode="before",
        json_schema_input_type=ObjectiveSettings
        | Annotated[list[ObjectiveSettings], Field(min_length=1)],
    )
    @classmethod
    def _one_or_several(cls, objective: Any) -> Any:
        if not isinstance(objective, dict | list):
            raise ValueError("must be {metric: NAME}, or a list of these")
        return [objective] if isinstance(objective, dict) else objective

    @field_validator("objective")
    @classmethod
    def _different(cls, objectives: list[ObjectiveSettings]) -> list[ObjectiveSettings]:
        metrics = [objective.metric for objective in objectives]
        if len(set(metrics)) < len(metrics):
            raise ValueError(f"objectives must be different metrics, got {', '.join(metrics)}")
        return objectives


@dataclass(frozen=True)
class Study:
    """A study file that was checked, with what it refers to.

    Args:
        file: the settings; `space` in it is merged, `use` is empty.
        folder: of the study file; relative paths count from here.
        text: of the study file, as it was submitted.
        extension: how often the space has grown since the study was created.
    """

    file: StudyFile
    space: Space
    trainable: Trainable
    folder: Path
    text: str
    extension: int = 0

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def objectives(self) -> Objectives:
        return self.file.objectives


def shipped(what: Literal["search_spaces", "studies"]) -> Path:
    """The folder of the files that come with the project: in a wheel, or in a checkout."""
    package = Path(__file__).parent
    inside = package / "_shipped" / what
    return inside if inside.is_dir() else package.parent / what


def locate(study: str | Path) -> Path:
    """The file of a study given as a path or as the name of a shipped one.

    Raises:
        InputError: there is neither.
    """
    path = Path(study)
    if os.path.isfile(path):  # `Path.is_file` raises for a name too long for the file system
        return path
    by_name = shipped("studies") / f"{study}.yaml"
    if len(path.parts) == 1 and os.path.isfile(by_name):
        return by_name
    names = sorted(p.stem for p in shipped("studies").glob("*.yaml"))
    raise InputError(
        f"there is no study file {str(study)!r}" + did_you_mean(str(study), names),
        f"give a file, or one of the shipped studies: {', '.join(names)}",
    )


def load(study: str | Path, overrides: Mapping[str, str] | None = None) -> Study:
    """Reads and checks a study file.

    Args:
        study: a file, or the name of a shipped study.
        overrides: values as YAML by dotted path, laid over the file (`--set`).

    Raises:
        StudyFileError: with every mistake in the file and its fragments.
        InputError: there is no such file.
    """
    path = locate(study)
    document = read(path)
    for target, text in (overrides or {}).items():
        _override(document, target, text)
    # Workers have working folders of their own.
    return build(document, path.parent.absolute(), path.read_text(encoding="utf-8"))


def build(document: Document, folder: Path, text: str) -> Study:
    """Checks a study file that was parsed.

    Raises:
        StudyFileError: with every mistake.
    """
    file, mistakes = validate(document, StudyFile)
    data = document.data if isinstance(document.data, dict) else {}
    space, fragment_mistakes = _merged_space(document, data, folder)
    mistakes += fragment_mistakes
    trainable = None
    if isinstance(data.get("trainable"), str):
        try:
            trainable = trainables.load(data["trainable"], folder)
        except TrainableError as error:
            mistakes.append(_at(document, ("trainable",), error))
    checked = None
    if trainable is not None and isinstance(space.data, dict):
        try:
            checked = check(space, trainable.config_type)
        except StudyFileError as error:
            mistakes += error.mistakes
    if checked is not None and file is not None and trainable is not None:
        if file.search.sampler == "grid":
            mistakes += grid.continuous(checked.root, space)
        mistakes += _unknown_metrics(document, file, checked, trainable)
        mistakes += _search(document, file, checked)
        mistakes += _final(document, file, checked, trainable)
    if mistakes or file is None or checked is None or trainable is None:
        raise StudyFileError(mistakes)
    file = file.model_copy(update={"space": space.data, "use": []})
    return Study(file, checked, trainable, folder, text)


def _merged_space(
    document: Document, data: dict[str, Json], folder: Path
) -> tuple[Document, list[Mistake]]:
    mistakes: list[Mistake] = []
    merged = Document({}, {(): document.place(("space",))})
    uses = data.get("use")
    for i, name in enumerate(uses if isinstance(uses, list) else []):
        if not isinstance(name, str):
            continue
        fragment = _fragment(name, folder)
        if fragment is None:
            known = sorted(p.stem for p in shipped("search_spaces").glob("*.yaml"))
            mistakes.append(
                Mistake(
                    document.place(("use", i)),
                    f"use.{i}",
                    f"there is no search space {name!r} beside the study file or among the shipped:"
                    f" {', '.join(known)}{did_you_mean(name, known)}",
                )
            )
            continue
        try:
            merged = merge(merged, read(fragment))
        except StudyFileError as error:
            mistakes += error.mistakes
    if "space" in data:
        merged = merge(merged, document.part(("space",)))
    return merged, mistakes


def _fragment(name: str, folder: Path) -> Path | None:
    if not STUDY_NAME.fullmatch(name):
        return None
    places = (folder, folder / "search_spaces", shipped("search_spaces"))
    return next((p / f"{name}.yaml" for p in places if (p / f"{name}.yaml").is_file()), None)


def _unknown_metrics(
    document: Document, file: StudyFile, space: Space, trainable: Trainable
) -> list[Mistake]:
    drawn = next(probes(space.root))
    if space.rejects(drawn.config) is not None:
        return []  # a combination that will not be run says nothing
    known = trainable.metrics(space.config(drawn.config))
    mistakes = []
    for i, objective in enumerate(file.objective):
        metric = objective.metric
        if known is None or metric in known:
            continue
        several = isinstance(document.data["objective"], list)
        path: Keys = ("objective", i, "metric") if several else ("objective", "metric")
        names = sorted(known)
        message = f"must be one of {', '.join(names)}, got {metric!r}{did_you_mean(metric, names)}"
        mistakes.append(Mistake(document.place(path), dotted(path), message))
    return mistakes


def _search(document: Document, file: StudyFile, space: Space) -> list[Mistake]:
    """What does not go together in how the study searches."""
    found = rules.mistakes(file.search, file.pruner, file.budget, space, file.objectives)
    for i, entry in enumerate(file.search.enqueue):
        wrong = _enqueued(entry, space)
        if wrong is not None:
            found.append((("search", "enqueue", i), wrong))
    if file.budget.gpu_hours is not None and not file.resources.gpus:
        message = "a study whose workers hold no GPU uses none; set resources.gpus, or remove it"
        found.append((("budget", "gpu_hours"), message))
    storage = storage_mistake(file.storage)
    if storage is not None:
        found.append((("storage",), storage))
    checkpoints = place_mistake(file.checkpoints)
    if checkpoints is not None:
        found.append((("checkpoints",), checkpoints))
    return [Mistake(document.place(path), dotted(path), message) for path, message in found]


def _final(
    document: Document, file: StudyFile, space: Space, trainable: Trainable
) -> list[Mistake]:
    """What is wrong with how the study is to end."""
    found: list[tuple[Keys, str]] = []
    if file.baseline is not None:
        why = space.rejects(file.baseline)
        if why is not None:
            found.append((("baseline",), f"is rejected by the config model: {why}"))
        if file.final is None:
            found.append((("baseline",), "is compared in the final stage; add final: {}"))
    if file.final is not None:
        if len(file.objectives) > 1:
            found.append((("final",), "ranks by one objective; with several the result is a set"))
        if trainable.deterministic:
            rule = "runs over fresh seeds, which change nothing for a deterministic trainable"
            found.append((("final",), f"{rule}; remove it"))
        if file.final.refit and not trainable.refits:
            rule = "needs a trainable that honours trial.refit and says so (hpo.Trainable.refits)"
            found.append((("final", "refit"), f"{rule}; remove it"))
    return [Mistake(document.place(path), dotted(path), message) for path, message in found]


def _enqueued(entry: Json, space: Space) -> str | None:
    """What is wrong with a config to try first."""
    if set(entry) == {"best_of"}:
        name = entry["best_of"]
        known = isinstance(name, str) and STUDY_NAME.fullmatch(name)
        return None if known else f"best_of takes the name of a study, got {name!r}"
    try:
        chosen = locate_in(space.root, entry, partial=True)
        drawn = space.draw(lambda parameter: chosen[parameter.name])
    except OutsideSpace as outside:
        return f"must lie in the space; {outside}"
    except KeyError:  # the sampler chooses the rest
        return _completed(chosen, space)
    why = space.rejects(drawn.config)
    return None if why is None else f"is rejected by the config model: {why}"


def _completed(chosen: Mapping[str, float], space: Space) -> str | None:
    """What is wrong with some values if nothing chosen for the rest makes a valid config."""
    rng = random.Random(0)

    def choose(parameter: Parameter) -> float:
        given = chosen.get(parameter.name)
        return parameter.from_unit(rng.random()) if given is None else given

    why = None
    for _ in range(COMPLETIONS):
        why = space.rejects(space.draw(choose).config)
        if why is None:
            return None
    return f"no valid config has these values, of {COMPLETIONS} tried; the last: {why}"


def _at(document: Document, path: Keys, error: InputError) -> Mistake:
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    return Mistake(document.place(path), ".".join(map(str, path)), message)


def _override(document: Document, target: str, text: str) -> None:
    place = Place(f"--set {target}={text}", 1, 1)
    try:
        document.set(tuple(target.split(".")), parse_value(text), place)
    except StudyFileError as error:
        raise StudyFileError([Mistake(place, target, m.message) for m in error.mistakes]) from None
    except KeyError:
        raise StudyFileError(
            [Mistake(place, target, "leads through something that has no such part")]
        ) from None
