"""The pruner's audit: what its rungs would have done to the trials that turned out best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpo.records import Objective, State, TrialRecord

TOP = 5

Curve = Mapping[int, float]
"""The objective by step."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step at which the pruner compares trials.

    Args:
        share: of the trials, that goes on from here, in (0, 1].
        reached: how many trials got here.
        cut: those of the best that would not have gone on, by number.
    """

    step: int
    share: float
    reached: int
    cut: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What pruning did and what it risked.

    Args:
        best: the best complete trials, best first, at most five.
        rungs: by step; those that none of the best reached are left out.
        pruned: how many trials were pruned.
        saved: steps that these did not take; `None` where nobody knows how long a trial is.
        full: steps that complete and pruned trials would have taken without pruning; `None`
            likewise.
    """

    best: tuple[int, ...]
    rungs: tuple[Rung, ...]
    pruned: int
    saved: int | None
    full: int | None


def audit(
    trials: Sequence[TrialRecord],
    curves: Mapping[int, Curve],
    rungs: Sequence[tuple[int, float]],
    objective: Objective,
    full_steps: Mapping[int, int],
) -> Audit:
    """Judges a pruner in hindsight.

    A rung ranks all trials that reached its step by their objective there, which for a trial that
    did not report just then is its last value before. As it happened a trial was compared only
    with those that came before it: a trial that a rung would have cut got through because it was
    early, or because of the pruner's own further rules.

    Args:
        trials: of the whole study.
        curves: the first objective by step, by trial number.
        rungs: `(step, share that goes on)`, as the pruner's settings tell them.
        full_steps: how many steps a pruned trial would have taken, by number, where the trainable
            knows; for others the longest complete trial stands in.
    """
    # A trial that was given another one's result did not pass any rung.
    ran = [trial for trial in trials if trial.same_as is None]
    complete = [t for t in ran if t.state is State.COMPLETE and t.values]
    pruned = [t for t in ran if t.state is State.PRUNED]
    best = sorted(complete, key=lambda t: (objective.rank(t.values[0]), t.number))[:TOP]
    numbers = tuple(trial.number for trial in best)
    judged = (_judge(step, share, numbers, curves, objective) for step, share in sorted(rungs))
    longest = max((trial.steps for trial in complete), default=None)
    lengths = [full_steps.get(trial.number, longest) for trial in pruned]
    saved = full = None
    if lengths and None not in lengths:
        saved = sum(
            max(0, (length or 0) - trial.steps)
            for trial, length in zip(pruned, lengths, strict=True)
        )
        full = saved + sum(trial.steps for trial in (*complete, *pruned))
    return Audit(numbers, tuple(r for r in judged if r is not None), len(pruned), saved, full)


def _judge(
    step: int,
    share: float,
    best: Sequence[int],
    curves: Mapping[int, Curve],
    objective: Objective,
) -> Rung | None:
    ranks = {
        number: _rank(curve[max(s for s in curve if s <= step)], objective)
        for number, curve in curves.items()
        if curve and min(curve) <= step <= max(curve)
    }
    if not ranks.keys() & set(best):
        return None
    # At least one goes on. The small term: 0.1 * 30 must be 3 whichever way it is rounded.
    places = max(1, math.floor(share * len(ranks) + 1e-9))
    threshold = sorted(ranks.values())[places - 1]
    cut = tuple(number for number in best if ranks.get(number, threshold) > threshold)
    return Rung(step, share, len(ranks), cut)


def _rank(value: float, objective: Objective) -> float:
    return objective.rank(value) if math.isfinite(value) else math.inf
