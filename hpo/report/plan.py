"""What a study would do, told without running anything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from hpo import frozen
from hpo.home import Home
from hpo.records import State
from hpo.report.words import count, duration
from hpo.search import grid
from hpo.search.draws import Draws
from hpo.search.journal import open_journal
from hpo.search.pruners import Asha
from hpo.search.record import Record
from hpo.space import Draw, probes
from hpo.studyfile import Study


def first_draws(study: Study, count: int) -> list[Draw]:
    """The first configs, drawn as the study would draw them before any result is known."""
    search = study.file.search
    found: list[Draw] = []
    with tempfile.TemporaryDirectory() as scratch:
        journal = open_journal("default", Path(scratch) / "journal", "", writable=True)
        record = Record(journal, study.objectives, study.file.pruner.make())
        # What is the best of another study only its record knows.
        enqueue = [entry for entry in search.enqueue if "best_of" not in entry]
        draws = Draws(record, study.space, search, study.file.pruner, enqueue=enqueue)
        while len(found) < min(count, search.trials or count) and draws.has_next():
            proposal = draws.next().result()
            if proposal is None:
                break
            draws.open(proposal, workers=1)
            found.append(proposal.draw)
        draws.close()
    return found


def lines(study: Study, home: Home) -> Iterator[str]:
    """Size and expected cost, and what a plan cannot know."""
    search, total = study.file.search, study.file.search.trials
    if search.warm_start or any("best_of" in entry for entry in search.enqueue):
        yield "earlier studies are looked up by hpo run: the configs below know nothing of them"
    if home.study(study.name).spec.exists():
        done = sum(t.state is not State.RUNNING for t in frozen.read_trials(home.study(study.name)))
        yield f"a study of this name has {done} trials behind it: what is told here is of a new one"
    if study.file.search.sampler == "grid":
        size = grid.size(study.space.root)
        yield f"the grid has {size} points" + (
            f", of which {total} would be tried" if total and total < size else ""
        )
        total = min(size, total or size)
    drawn = next(probes(study.space.root))
    steps = None
    if study.space.rejects(drawn.config) is None:
        steps = study.trainable.steps(study.space.config(drawn.config))
    if steps is None:
        trials = "as many trials as the budget allows" if total is None else f"{total} trials"
        yield f"cost: {trials}; how many steps each takes, only the trainable knows"
        yield from _final(study, None)
        return
    if total is None:
        yield f"cost: as many trials of at most {steps} steps as the budget allows"
        yield from _final(study, steps)
        return
    expected = expected_steps(study, steps)
    yield (
        f"cost: {total} trials of at most {steps} steps, {total * steps} in all"
        + (f"; about {total * expected:.0f} with the pruner" if expected < steps else "")
    )
    yield from _final(study, steps)
    seconds = _seconds_a_step(study, home)
    if seconds is not None:
        all_steps = total * expected + _final_runs(study) * steps
        yield (
            f"time: about {duration(all_steps * seconds)} of one worker's time,"
            " at the pace of this study's trials so far"
        )


def _final(study: Study, steps: int | None) -> Iterator[str]:
    """What the final stage costs, which prunes nothing."""
    final, runs = study.file.final, _final_runs(study)
    if final is None:
        return
    who = count(_candidates(study), "candidate") + (
        " and the baseline" if study.file.baseline else ""
    )
    text = f"final stage: {who} over {final.repeats} seeds"
    text += ", and a refit of the winner" if final.refit else ""
    text += f": {runs} runs"
    if steps is not None:
        text += f" of at most {steps} steps, {runs * steps} in all"
    yield text


def _final_runs(study: Study) -> int:
    final = study.file.final
    if final is None:
        return 0
    configs = _candidates(study) + (study.file.baseline is not None)
    return configs * final.repeats + final.refit


def _candidates(study: Study) -> int:
    final, trials = study.file.final, study.file.search.trials
    return 0 if final is None else min(final.top_k, trials or final.top_k)


def expected_steps(study: Study, steps: int) -> float:
    """Steps of an average trial, if one in `reduction_factor` goes on from each rung."""
    pruner = study.file.pruner
    if not isinstance(pruner, Asha):
        return steps
    expected, share, reached = 0.0, 1.0, 0
    rung = pruner.min_steps
    while rung < steps:
        expected += share * (rung - reached)
        share, reached, rung = share / pruner.reduction_factor, rung, rung * pruner.reduction_factor
    return expected + share * (steps - reached)


def _seconds_a_step(study: Study, home: Home) -> float | None:
    folder = home.study(study.name)
    if not folder.spec.exists():
        return None
    ran = (State.COMPLETE, State.PRUNED)
    trials = [t for t in frozen.read_trials(folder) if t.state in ran and t.same_as is None]
    steps = sum(t.steps for t in trials)
    return sum(t.seconds for t in trials) / steps if steps else None
