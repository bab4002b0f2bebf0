"""Test metrics: computed once, when nothing is left to choose, and kept before they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hpo import frozen, seeds
from hpo.asking import ended_run
from hpo.home import StudyFolder
from hpo.records import TrialSpec
from hpo.report.final import by_name
from hpo.report.kept import Kept, KeptCandidate, KeptFinal, read_kept, write_kept
from hpo.studyfile import Study

Tests = dict[int, Mapping[str, float]]
"""Test metrics by trial of the search or, after a final stage, by run of that."""


def keep_tested(study: Study, folder: StudyFolder, kept: Kept) -> Kept:
    """Writes down what is kept of a study and, where it is complete, its test metrics.

    They are of the best trials; after a final stage, of every complete run of its winner and of
    the baseline. Those that are kept already are not computed again.

    Raises:
        StudyFailed: the trainable cannot say them.
    """
    tests = _known(read_kept(folder), kept)
    write_kept(_with_tests(kept, tests), folder)  # the trainable is asked next, which may fail
    if kept.complete:
        checkpoints = frozen.open_checkpoints(folder, "final" if kept.final else "search")
        for spec in _specs(study, kept):
            if spec.number not in tests:
                with ended_run(study, checkpoints, spec, "test") as (config, trial):
                    tests[spec.number] = study.trainable.test(config, trial)
        write_kept(_with_tests(kept, tests), folder)
    return _with_tests(kept, tests)


def _known(before: Kept | None, now: Kept) -> Tests:
    if before is None:
        return {}
    if before.final is None or now.final is None:
        same = before.final is now.final
        return {k.trial: k.test for k in before.best if k.test} if same else {}
    configs = [each.config for each in _looked_at(now.final)]
    return {
        number: {name: values[i] for name, values in each.test.items()}
        for each in _looked_at(before.final)
        if each.test and each.config in configs
        for i, number in enumerate(each.runs.values())
    }


def _looked_at(final: KeptFinal) -> Iterator[KeptCandidate]:
    yield final.winner
    if final.baseline is not None:
        yield final.baseline


def _specs(study: Study, kept: Kept) -> Iterator[TrialSpec]:
    if kept.final is None:
        for each in kept.best:
            seed = seeds.of_trial(study.file.search.seed, each.trial)
            yield TrialSpec(each.trial, each.config, seed, lease="")
        return
    for candidate in _looked_at(kept.final):
        for repeat, number in candidate.runs.items():
            seed = kept.final.seeds[repeat]
            yield TrialSpec(number, candidate.config, seed, lease="")


def _with_tests(kept: Kept, tests: Tests) -> Kept:
    if kept.final is None:
        best = [k.model_copy(update={"test": tests.get(k.trial, {})}) for k in kept.best]
        return kept.model_copy(update={"best": best})
    winner, *others = kept.final.candidates
    winner = _with_its_tests(winner, tests)
    baseline = kept.final.baseline and _with_its_tests(kept.final.baseline, tests)
    final = kept.final.model_copy(update={"candidates": (winner, *others), "baseline": baseline})
    means = {name: winner.repeated(values).mean for name, values in winner.test.items()}
    best = [kept.best[0].model_copy(update={"test": means})]
    return kept.model_copy(update={"best": best, "final": final})


def _with_its_tests(candidate: KeptCandidate, tests: Tests) -> KeptCandidate:
    runs = [tests.get(number, {}) for number in candidate.runs.values()]
    return candidate.model_copy(update={"test": by_name(runs)})
