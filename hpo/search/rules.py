"""Which samplers, pruners and budgets go together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from hpo.budget import BudgetSettings
from hpo.home import STUDY_NAME
from hpo.records import Objective
from hpo.search.pruners import NoPruner, PrunerSettings
from hpo.search.settings import SearchSettings
from hpo.space import Keys, Range, Space

PACKAGES = {"cmaes": "cmaes"}
"""What a sampler needs beside this package; the extra has the sampler's name."""

LEARN_FROM_COMPLETE = ("gp", "cmaes", "nsga2")
LEARN_FROM_OTHERS = ("tpe", "gp", "auto")

GP_VALUES = 10_000

SAMPLER: Keys = ("search", "sampler")


def mistakes(
    search: SearchSettings,
    pruner: PrunerSettings,
    budget: BudgetSettings,
    space: Space,
    objectives: Sequence[Objective],
) -> list[tuple[Keys, str]]:
    """What a study file asks for that cannot be had, each with its path in the file."""
    return [
        *_search(search, budget),
        *_target(budget, objectives),
        *_sampler(search, space, objectives),
        *_pruner(search, pruner, objectives),
    ]


def _search(search: SearchSettings, budget: BudgetSettings) -> Iterator[tuple[Keys, str]]:
    sampler = search.sampler
    if search.trials is None and sampler != "grid" and not budget.ends:
        yield (
            ("search", "trials"),
            "a study must end; add trials: NUMBER, or a budget: wall_hours, cpu_hours, gpu_hours or"
            " no_improvement",
        )
    if search.enqueue and sampler == "grid":
        yield (
            ("search", "enqueue"),
            "a grid tries every combination anyway; remove enqueue, or choose another sampler",
        )
    for i, name in enumerate(search.warm_start):
        if not STUDY_NAME.fullmatch(name) or name in search.warm_start[:i]:
            yield ("search", "warm_start", i), f"must be names of studies, each once, got {name!r}"
    if search.warm_start and sampler not in LEARN_FROM_OTHERS:
        yield (
            ("search", "warm_start"),
            f"sampler {sampler} learns nothing from earlier studies; remove warm_start, or write"
            f" sampler: {', '.join(LEARN_FROM_OTHERS[:-1])} or {LEARN_FROM_OTHERS[-1]}",
        )


def _target(budget: BudgetSettings, objectives: Sequence[Objective]) -> Iterator[tuple[Keys, str]]:
    if budget.target is not None and len(objectives) > 1:
        yield (
            ("budget", "target"),
            f"a target is for one objective, got {len(objectives)}; remove it, or write"
            " no_improvement: NUMBER",
        )


def _sampler(
    search: SearchSettings, space: Space, objectives: Sequence[Objective]
) -> Iterator[tuple[Keys, str]]:
    sampler = search.sampler
    package = PACKAGES.get(sampler)
    if package is not None and find_spec(package) is None:
        yield SAMPLER, f"needs the package {package}; pip install 'hpo[{sampler}]'"
    if sampler == "cmaes" and len(objectives) > 1:
        yield (
            SAMPLER,
            f"cmaes knows one objective, got {len(objectives)}; write sampler: nsga2, tpe or gp",
        )
    large = too_many_for_gp(space)
    if sampler == "gp" and large is not None:
        yield (
            SAMPLER,
            f"gp lists the values of whole and stepped ranges, {large.name} has {large.count};"
            f" give it at most {GP_VALUES} (a larger step), or write sampler: tpe",
        )
    numbers = [h for h in space.parameters if not h.given and isinstance(h.parameter, Range)]
    if sampler == "cmaes" and not numbers:
        yield (
            SAMPLER,
            "cmaes adapts numbers that every config has, and this space has none; write sampler:"
            " tpe",
        )


def too_many_for_gp(space: Space) -> Range | None:
    """A range of which a Gaussian process would list more values than there is memory for."""
    ranges = (here.parameter for here in space.parameters)
    return next((r for r in ranges if isinstance(r, Range) and (r.count or 0) > GP_VALUES), None)


def _pruner(
    search: SearchSettings, pruner: PrunerSettings, objectives: Sequence[Objective]
) -> Iterator[tuple[Keys, str]]:
    if isinstance(pruner, NoPruner):
        return
    if len(objectives) > 1:
        yield (
            ("pruner",),
            f"{pruner.kind} judges one objective, got {len(objectives)}; write pruner: {{kind:"
            " none}",
        )
    elif search.sampler in LEARN_FROM_COMPLETE:
        yield (
            ("pruner",),
            f"sampler {search.sampler} learns nothing from pruned trials; write pruner: {{kind:"
            " none}, or sampler: tpe",
        )
