"""Whether one result is better than another by more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpo.bundle import Contents
from hpo.final.paired import Difference, difference, quantile
from hpo.records import Objective
from hpo.repeated import Repeated


@dataclass(frozen=True, slots=True)
class Gain:
    """One objective of two results.

    Args:
        difference: the new less the old; `None` where it cannot be judged.
        words: what it comes to.
        sign: 1: the new one is better beyond noise; -1: worse; 0: they cannot be told apart.
    """

    objective: Objective
    old: Repeated
    new: Repeated
    difference: Difference | None
    words: str
    sign: int


def incomparable(old: Contents, new: Contents) -> str | None:
    """Why the metrics of two bundles say nothing about each other; `None` if they do."""
    if old.objectives != new.objectives:
        return "they have other objectives"
    before, now = old.provenance.data, new.provenance.data
    changed = sorted(name for name in before.keys() & now.keys() if before[name] != now[name])
    if changed:
        return f"they were measured on other data: {', '.join(changed)}"
    return None


def gains(old: Contents, new: Contents) -> list[Gain]:
    """Each objective of two comparable bundles, on validation data.

    Runs from the same seeds are compared in pairs, others by Welch's t interval; see
    https://doi.org/10.1093/biomet/34.1-2.28.
    """
    return [_gain(objective, old, new) for objective in new.objectives]


def _gain(objective: Objective, old: Contents, new: Contents) -> Gain:
    before, now = (c.repeated(c.validation[objective.metric]) for c in (old, new))
    found = _difference(before, now)
    if found is None:
        n = min(before.n, now.n)
        words = f"whether that is beyond noise cannot be judged: n = {n}, give the study final:"
        return Gain(objective, before, now, None, words, 0)
    if not found.told_apart:
        return Gain(objective, before, now, found, "they cannot be told apart", 0)
    sign = 1 if objective.rank(found.mean) < 0 else -1
    words = f"the new one is {'better' if sign > 0 else 'worse'}, beyond noise"
    return Gain(objective, before, now, found, words, sign)


def _difference(old: Repeated, new: Repeated) -> Difference | None:
    if len(old.values.keys() & new.values.keys()) > 1:
        return difference(old, new)
    return welch(old, new) if old.n > 1 and new.n > 1 else None


def welch(old: Repeated, new: Repeated) -> Difference:
    """The difference of two means with a 95 % interval, of independent runs, two or more each."""
    v_old, v_new = old.standard_error**2, new.standard_error**2
    error, mean, half = math.sqrt(v_old + v_new), new.mean - old.mean, 0.0
    if error > 0:
        degrees = (v_old + v_new) ** 2 / (v_old**2 / (old.n - 1) + v_new**2 / (new.n - 1))
        half = quantile(degrees) * error
    return Difference(mean, mean - half, mean + half, new.n, n_first=old.n)
