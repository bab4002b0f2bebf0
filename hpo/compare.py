"""Two studies, or two configs of studies, seed by seed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hpo import datasets, frozen, run_lock
from hpo.engine import Engine
from hpo.errors import InputError, StudyFailed
from hpo.final.paired import Difference, difference, verdict
from hpo.final.plan import BASELINE, Entry, read_plan, write_plan
from hpo.final.stage import Final
from hpo.final.verdict import Candidate, candidate
from hpo.home import Home, StudyFolder
from hpo.progress import Observer
from hpo.publishing import Shown
from hpo.records import Objective, State
from hpo.repeated import Repeated
from hpo.report.kept import kept_of
from hpo.report.words import count
from hpo.runner import Runner
from hpo.studyfile import Study

_REFERENCE = re.compile(r"(?P<name>[^:]*)(:(?P<which>.*))?")


@dataclass(frozen=True)
class Side:
    """One of two configs that are compared.

    Args:
        text: as it was asked for.
        entry: its config, and the trial of the study that found it.
    """

    text: str
    study: Study
    folder: StudyFolder
    entry: Entry

    def missing(self, repeats: int) -> int:
        """How many of its first `repeats` runs have not ended yet."""
        found = self._found(repeats)
        return repeats - len(found.runs) - found.failed

    def repeated(self, repeats: int) -> Repeated:
        """Its objective in those that are complete."""
        return self._found(repeats).repeated

    def _found(self, repeats: int) -> Candidate:
        runs = frozen.read_trials(self.folder, "final")
        return candidate(read_plan(self.folder.final), runs, self.entry, repeats)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two configs over the seeds that both have.

    Args:
        difference: the second less the first.
    """

    objective: Objective
    first: str
    second: str
    values: tuple[Repeated, Repeated]
    difference: Difference

    def lines(self) -> Iterator[str]:
        """What was found, in sentences."""
        for name, values in zip((self.first, self.second), self.values, strict=True):
            yield f"{name}: {self.objective.metric} {values}"
        yield f"{self.second} less {self.first}: {self.difference}"
        yield verdict(self.difference, self.objective, self.first, self.second)


def find(reference: str, home: Home) -> Side:
    """A config by `NAME` (the study's winner or best), `NAME:TRIAL` or `NAME:baseline`.

    Raises:
        InputError: there is none; or runs over other seeds would tell nothing of it.
    """
    parts = _REFERENCE.fullmatch(reference)
    assert parts is not None, "any text matches"
    folder = home.study(parts["name"])
    study = frozen.thaw(folder)
    if len(study.objectives) > 1:
        raise InputError(
            f"study {study.name!r} has several objectives, and seeds are compared by one",
            "compare studies of one objective",
        )
    if study.trainable.deterministic:
        raise InputError(
            f"study {study.name!r} has a deterministic trainable: every seed gives the same",
            "compare the values as they are: hpo status",
        )
    return Side(reference, study, folder, _entry(parts["which"], study, folder, home))


def _entry(which: str | None, study: Study, folder: StudyFolder, home: Home) -> Entry:
    if which is None:
        best = kept_of(study.name, home).one()
        return Entry(best.trial, best.config)
    if which == BASELINE:
        if study.file.baseline is None:
            raise InputError(
                f"study {study.name!r} names no baseline", "add baseline: {...} to its study file"
            )
        return Entry(None, study.file.baseline)
    trials = frozen.read_trials(folder)
    if not which.isdecimal() or int(which) >= len(trials):
        raise InputError(
            f"study {study.name!r} has no trial {which!r}, it has {count(len(trials), 'trial')}",
            f"write {study.name}, {study.name}:TRIAL with a number, or {study.name}:baseline",
        )
    return Entry(int(which), trials[int(which)].config)


def check(first: Side, second: Side, repeats: int) -> list[str]:
    """Whether the two can be compared, and what is to be said before.

    Raises:
        InputError: they are about other things, saw other data, or are too few runs.
    """
    if repeats < 2:
        raise InputError(f"repeats must be at least 2, got {repeats}", "one run tells no spread")
    here, there = first.study.objectives[0], second.study.objectives[0]
    if here != there:
        raise InputError(
            f"{first.text} is to {here.direction} {here.metric}, {second.text} to"
            f" {there.direction} {there.metric}",
            "only what has the same objective can be compared",
        )
    digests = [
        datasets.fingerprint(each.study, [each.study.space.config(each.entry.config)])
        for each in (first, second)
    ]
    if other := [n for n in digests[0].keys() | digests[1].keys() if not _same(n, *digests)]:
        raise InputError(
            f"{first.text} and {second.text} have other data: {', '.join(sorted(other))}",
            "only what trains and validates on the same rows can be compared",
        )
    if not all(digests):
        return ["whether both have the same data, their trainables cannot tell"]
    return []


def _same(name: str, here: dict[str, str], there: dict[str, str]) -> bool:
    return not (here and there) or here.get(name) == there.get(name)


def compare(
    first: Side,
    second: Side,
    repeats: int,
    *,
    home: Home,
    inline: bool = False,
    observer: Observer = lambda progress, trouble: None,
) -> Comparison:
    """Compares two configs. Test metrics are neither computed nor looked at.

    Runs that are missing are run now, in the final stages of their studies.

    Args:
        repeats: seeds, at least 2; the same ones in every study.
        inline: run in this process, without Ray.

    Raises:
        InputError: see `check`; or a study is being run by another process.
        StudyFailed: the runs were stopped, or there is no seed with which both completed.
    """
    sides = (first, second)
    with Engine(inline) as engine:
        for study, folder, entries in _lacking(sides, repeats):
            _run(study, folder, entries, repeats, engine, home, observer)
    values = (first.repeated(repeats), second.repeated(repeats))
    if not values[0].values.keys() & values[1].values.keys():
        raise StudyFailed(
            f"there is no seed with which both {first.text} and {second.text} completed",
            "why runs failed is in " + ", ".join(sorted({str(s.folder.final.root) for s in sides})),
        )
    apart = difference(*values)
    return Comparison(first.study.objectives[0], first.text, second.text, values, apart)


def to_run(first: Side, second: Side, repeats: int) -> Iterator[str]:
    """What `compare` would run, in sentences."""
    for study, folder, entries in _lacking((first, second), repeats):
        plan = read_plan(folder.final).with_repeats(entries, repeats)
        runs = frozen.read_trials(folder, "final")
        left = len(plan.runs) - sum(run.state is not State.RUNNING for run in runs)
        yield f"study {study.name}: {count(left, 'run')} over fresh seeds"


def _lacking(
    sides: Sequence[Side], repeats: int
) -> Iterator[tuple[Study, StudyFolder, list[Entry]]]:
    """Studies in which runs are missing, with the configs that lack them."""
    by_study: dict[str, list[Side]] = {}
    for side in sides:
        if side.missing(repeats):
            by_study.setdefault(side.study.name, []).append(side)
    for found in by_study.values():
        yield found[0].study, found[0].folder, [side.entry for side in found]


def _run(
    study: Study,
    folder: StudyFolder,
    entries: Sequence[Entry],
    repeats: int,
    engine: Engine,
    home: Home,
    observer: Observer,
) -> None:
    """Adds to a study's final stage, whose verdict does not change by it."""
    with run_lock.hold(folder):
        write_plan(read_plan(folder.final).with_repeats(entries, repeats), folder.final)
        card = frozen.card(study, frozen.study_id(folder))
        card = replace(card, data=datasets.read(folder))
        with Shown(study, card, folder, home) as shown:
            runner = Runner(study, engine, shown, lambda seen: observer(seen, shown.trouble))
            worked = runner.work(Final(folder))
    if not worked.over:
        raise StudyFailed("stopped before both had run", "run it again: what has run is kept")
