"""From a finished study to the model registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo import frozen, run_lock
from hpo.bundle import Bundle
from hpo.differences import differences
from hpo.errors import InputError
from hpo.home import Home, StudyFolder
from hpo.report.kept import kept_of
from hpo.report.words import metrics_line
from hpo.reuse import bundling
from hpo.reuse.gain import Gain, gains, incomparable
from hpo.reuse.loading import Found, chosen, code_folder
from hpo.reuse.references import CHAMPION, check_alias, tracked_at

if TYPE_CHECKING:
    from hpo.track.registry import Network, Registry, Version


@dataclass(frozen=True, slots=True)
class Challenge:
    """A result beside the present holder of an alias.

    Args:
        new: the result.
        config: what differs in the config, derived values included; a line each.
        gains: by objective; empty where they cannot be compared.
        trouble: why they cannot be compared; `None` if they can.
    """

    holder: Bundle
    new: Bundle
    config: tuple[str, ...]
    gains: tuple[Gain, ...]
    trouble: str | None

    @property
    def is_better(self) -> bool:
        """Better beyond noise in an objective, and worse beyond noise in none."""
        signs = [gain.sign for gain in self.gains]
        return max(signs, default=0) > 0 and min(signs, default=0) >= 0

    def lines(self) -> list[str]:
        """It in words."""
        said = [*self.config] or ["the configs are the same"]
        for gain in self.gains:
            said.append(f"{gain.objective.metric}: {gain.old} -> {gain.new}")
            if gain.difference is not None:
                said.append(f"  difference {gain.difference}")
            said.append(f"  {gain.words}")
        if self.trouble:
            said.append(f"they cannot be compared: {self.trouble}")
        old, new = self.holder.contents, self.new.contents
        said += [
            f"{name}: {old.repeated(old.test[name])} -> {new.repeated(new.test[name])}"
            for name in old.test
            if name in new.test
        ]
        return said


@dataclass(frozen=True, slots=True)
class Promotion:
    """What came of a promotion.

    Args:
        model: the name of the registered model.
        promoted: whether the alias now stands for the study's result; also when it did before.
        comparison: with who held the alias; `None` if nobody did, or this result itself.
        version: of the registered model; `None` if it was not promoted.
        served: whether that version is a model, and not a config alone.
        registry: the tracking URI of the MLflow it is registered in.
    """

    model: str
    identity: str
    promoted: bool
    comparison: Challenge | None
    version: str | None
    served: bool
    registry: str


def promote(
    name: str,
    alias: str = CHAMPION,
    *,
    model: str | None = None,
    force: bool = False,
    trial: int | None = None,
    home: str | Path | Home | None = None,
) -> Promotion:
    """Registers what a finished study has found, and makes an alias stand for it.

    The registry is that of the MLflow where the study is tracked. The first result takes the alias
    as it comes; another one has to be better than the holder beyond noise.

    Args:
        model: the name of the registered model; default: the study's. Studies of one task share
            one, so that the result of each is compared with the best so far.
        force: take the alias even if it is worse, the same, or cannot be compared.
        trial: which of the best trials; needed where the study has several objectives.

    Raises:
        InputError: there is no such study, it is not done, it is tracked nowhere, or its model
            cannot be exported.
        HpoError: the registry does not answer.
    """
    from hpo.track.registry import Registry

    home = Home.at(home)
    check_alias(alias)
    model = model or name
    home.study(model)  # it is a name as a study's is, or NAME@ALIAS could not name it
    folder = home.study(name)
    found = _bundle(name, home, folder, trial)
    at = tracked_at(name, home)
    if at is None:
        raise InputError(
            f"study {name!r} is tracked nowhere, so there is no model registry",
            "leave tracking out of its study file, or name an MLflow in tracking.uri",
        )
    registry = Registry(at.uri, at.login)
    bundle = found.bundle
    holder = registry.holder(model, alias)
    comparison = None
    if holder is not None and holder.identity != bundle.identity:
        comparison = challenge(registry.fetch(holder, home.bundles), bundle)
        if not (force or comparison.is_better):
            return Promotion(model, bundle.identity, False, comparison, None, False, at.uri)
    network = _network(found)
    version = _register(registry, model, bundle, network)
    registry.set_alias(version, alias)
    served = network is not None
    return Promotion(model, bundle.identity, True, comparison, version.number, served, at.uri)


def challenge(holder: Bundle, new: Bundle) -> Challenge:
    """A result beside the one that holds the alias."""
    before, now = holder.contents, new.contents
    trouble = incomparable(before, now)
    return Challenge(
        holder=holder,
        new=new,
        config=tuple(
            differences({**before.config, **before.derived}, {**now.config, **now.derived})
        ),
        gains=() if trouble else tuple(gains(before, now)),
        trouble=trouble,
    )


def _bundle(name: str, home: Home, folder: StudyFolder, trial: int | None) -> Found:
    """The bundle of the study as it stands."""
    kept = kept_of(name, home)
    study = frozen.thaw(folder)
    has_winner = study.file.final is None or kept.final is not None
    if not (kept.complete and has_winner):
        raise InputError(
            f"study {name!r} is not done: its best trial may not be its best in the end",
            f"let it finish; hpo status {name} shows how far it is",
        )
    kept.one(trial)  # says which there are, where one must be chosen
    bundle = bundling.left(study, folder, kept, trial)
    if bundle is None:
        # Another trial was chosen last; or whoever wrote down the result ended before its bundle.
        with run_lock.hold(folder):
            bundle = bundling.leave(study, folder, kept, trial)
    assert bundle is not None, "the study is done and a trial is chosen"
    return Found(bundle, study.folder)


def _network(found: Found) -> Network | None:
    """The model in a bundle; `None` if its trainable leaves no weights or builds none."""
    from hpo.track.registry import Network

    weights = found.bundle.weights
    if weights is None:
        return None
    one = chosen(found)
    trainable, config = one.load(), one.typed()
    example = trainable.example(config, weights, code_folder(found))
    if example is None:
        return None
    return Network(trainable.model(config, weights, code_folder(found)), example)


def _register(registry: Registry, model: str, bundle: Bundle, network: Network | None) -> Version:
    of = bundle.contents
    metrics = {**of.validation, **of.test}
    tags = {
        "hpo.study": of.study,
        "hpo.study_id": of.study_id,
        "hpo.trial": str(of.trial),
        "hpo.commit": of.provenance.commit or "unknown",
        **{f"hpo.metric.{name}": str(of.repeated(v)) for name, v in metrics.items()},
    }
    means = {o.metric: of.repeated(of.validation[o.metric]).mean for o in of.objectives}
    what = "" if network else "; a config alone: its trainable builds no model"
    return registry.register(
        model,
        bundle,
        network,
        tags,
        f"Trial {of.trial} of study {of.study}: {metrics_line(means)}{what}.",
    )
