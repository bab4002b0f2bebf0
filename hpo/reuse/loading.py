"""Best configs and trained models, for code that puts them to use; without ray or optuna."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpo import space
from hpo import trainable as trainables
from hpo.bundle import Bundle, Contents, newest, open_bundle
from hpo.errors import InputError, TrainableError
from hpo.home import Home
from hpo.records import Json
from hpo.report.kept import Kept, kept_of
from hpo.reuse.references import Reference, bundle_of
from hpo.spec import find_spec
from hpo.trainable import Trainable


@dataclass(frozen=True, slots=True)
class Found:
    """A bundle, and where the code is that it belongs to.

    Args:
        code: the folder where its trainable is looked up first; `None`: as Python does.
    """

    bundle: Bundle
    code: Path | None


Source = Kept | Found
"""What a best config can be taken from: a study as it stands, or a bundle."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A config, and what it belongs to."""

    config: Json
    trainable: str
    code: Path | None

    def load(self) -> Trainable:
        """The trainable that the config is for.

        Raises:
            TrainableError: it cannot be imported here.
        """
        return trainables.load(self.trainable, self.code)

    def typed(self) -> Any:
        """The config as an instance of its trainable's model; a dict where that takes dicts.

        Raises:
            TrainableError: the trainable cannot be imported here.
            InputError: its model does not take the config any more.
        """
        try:
            return space.typed(self.load().config_type, dict(self.config))
        except TrainableError as error:
            raise TrainableError(
                error.message, f"{error.hint}; or take the plain dict: typed=False"
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{self.trainable!r} does not take this config any more: {path}: {first['msg']},"
                f" got {first['input']!r:.80}",
                "use the code that the study was run with; or take the plain dict: typed=False",
            ) from error


def load_best(
    reference: str | Path,
    home: str | Path | Home | None = None,
    trial: int | None = None,
    *,
    tracking_uri: str | None = None,
    code: str | Path | None = None,
    typed: bool = True,
) -> Any:
    """The best config of a study, as an instance of its trainable's own Pydantic model.

    Args:
        reference: the name of a study in the home, as it stands now; `NAME@ALIAS` of the model
            registry; or the folder of a bundle. Of a bundle every file is checked; a study that is
            done has left one, unless nobody has chosen among several objectives.
        home: the home folder; default `$HPO_HOME`, or `.hpo/` in the working folder.
        trial: which of the best trials; needed where a study has several objectives.
        tracking_uri: where the model registry is; default `$MLFLOW_TRACKING_URI`, else where the
            study is tracked, else the home's own store.
        code: the folder where the trainable of an alias or a bundle is looked up first; default:
            the study's, if this home has it; otherwise as Python does.
        typed: `False` gives the plain dict, for which no code is needed.

    Returns:
        The typed config; a plain dict if the trainable takes dicts.

    Raises:
        InputError: there is no such study, alias or bundle, a file of it was changed, its trainable
            cannot be imported, or it has several objectives and no trial of its best is chosen.

    Example:
        >>> config = hpo.load_best("digits@champion")  # doctest: +SKIP
        >>> config.batch_lr.learning_rate  # doctest: +SKIP
        0.11
    """
    one = chosen(source_of(reference, home, tracking_uri, code), trial)
    return one.typed() if typed else one.config


def load_model(
    reference: str | Path,
    home: str | Path | Home | None = None,
    *,
    tracking_uri: str | None = None,
    code: str | Path | None = None,
) -> Any:
    """The trained model of a bundle: a `torch.nn.Module` on the CPU, in evaluation mode.

    It takes inputs as they come: what the trainer did to them first is part of it.

    Args:
        reference: the name of a study that is done; or as for `load_best`, as all the others.

    Raises:
        InputError: there is no such bundle, a file of it was changed, or there is no model: its
            trainable cannot be imported, leaves no weights, or does not say how one is built.
    """
    found = found_bundle(reference, home, tracking_uri, code)
    contents, weights = found.bundle.contents, found.bundle.weights
    if weights is None:
        raise InputError(
            f"the bundle of study {contents.study!r} has no weights",
            "leave them as model.safetensors in trial.checkpoint_dir when training",
        )
    one = chosen(found)
    return one.load().model(one.typed(), weights, code_folder(found))


def source_of(
    reference: str | Path,
    home: str | Path | Home | None = None,
    tracking_uri: str | None = None,
    code: str | Path | None = None,
) -> Source:
    """What is meant by a reference; see `load_best`."""
    named = Reference.parse(reference)
    if named.name is not None and named.alias is None:
        return _of_study(named.name, Home.at(home))
    return found_bundle(reference, home, tracking_uri, code)


def found_bundle(
    reference: str | Path,
    home: str | Path | Home | None = None,
    tracking_uri: str | None = None,
    code: str | Path | None = None,
) -> Found:
    """The bundle that is meant by a reference; of a study's name, its newest. See `load_best`."""
    home = Home.at(home)
    bundle = bundle_of(Reference.parse(reference), home, tracking_uri)
    return Found(bundle, Path(code) if code else _code_of(bundle.contents, home))


def code_folder(found: Found) -> Path:
    """Where relative paths in a bundle's config count from."""
    return found.code or found.bundle.folder


def chosen(source: Source, trial: int | None = None) -> Chosen:
    """A config of a source.

    Raises:
        InputError: see `Kept.one`; or the bundle is of another trial.
    """
    if isinstance(source, Kept):
        return Chosen(source.one(trial).config, source.trainable, Path(source.folder))
    contents = source.bundle.contents
    if trial not in (None, contents.trial):
        raise InputError(
            f"the bundle is of trial {contents.trial}, not of trial {trial}",
            "leave the trial out: a bundle holds one config",
        )
    return Chosen(contents.config, contents.trainable, source.code)


def _of_study(name: str, home: Home) -> Source:
    """What a study has come to: its bundle, once it has left one."""
    kept = kept_of(name, home)
    path = newest(home.study(name).bundles)
    if path is None or not kept.complete or len(kept.objectives) > 1:
        return kept
    bundle = open_bundle(path)
    if bundle.contents.trial != kept.one().trial:
        raise InputError(
            f"the best of study {name!r} is trial {kept.one().trial}, and its newest bundle"
            f" is of trial {bundle.contents.trial}",
            "run the study again: it leaves a bundle of what it has found",
        )
    return Found(bundle, Path(kept.folder))


def _code_of(contents: Contents, home: Home) -> Path | None:
    """The folder of the study file, if the bundle's study was run in this home."""
    spec = find_spec(home.study(contents.study))
    return spec.folder if spec is not None and spec.id == contents.study_id else None
