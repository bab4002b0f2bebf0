"""How near the optimum our samplers come, beside plain Optuna told the way its documentation shows.

    python benchmarks/regret.py [--seeds 20] [--trials 60] [--samplers tpe gp] [--functions Branin]

Ours draw as in any study: from a record on disk, told of diverged trials as the coordinator tells.
Plain Optuna is `study.optimize` with the sampler's own defaults, and an objective that returns NaN
where a trial diverges, which Optuna takes for a failure. Only its quasi-random points are
scrambled, without which all seeds are one study. `auto` stands beside what a study without a
sampler gets, TPE.

Regret is the best loss found less the optimum. From one seed ours and Optuna's draw different
numbers, so the two are independent samples: p is of the Mann-Whitney test, and called a difference
is what stands at a false discovery rate of 5 % among all that are compared (Benjamini-Hochberg).
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
from problems import PROBLEMS, Problem
from scipy.stats import false_discovery_control, mannwhitneyu

from hpo.records import Objective, Outcome, State
from hpo.search.draws import Draws
from hpo.search.journal.file import FileJournal
from hpo.search.pruners import NoPruner
from hpo.search.record import Record
from hpo.search.settings import SearchSettings
from hpo.space import check, parse

PLAIN: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "qmc": lambda seed: optuna.samplers.QMCSampler(seed=seed, scramble=True),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
}
BESIDE = {**{name: name for name in PLAIN}, "auto": "tpe"}
"""Which of Optuna's samplers each of ours is compared with."""

LEVEL = 0.05
"""Of the differences that are called one, so many may be noise."""


@dataclass(frozen=True)
class Job:
    """One study: of ours, or of plain Optuna."""

    ours: bool
    function: str
    sampler: str
    seed: int
    trials: int


@dataclass(frozen=True)
class Result:
    regret: float
    wasted: int  # trials that diverged


def run(job: Job) -> Result:
    problem = PROBLEMS[job.function]
    losses = (ours if job.ours else plain)(problem, job.sampler, job.seed, job.trials)
    finite = [loss for loss in losses if math.isfinite(loss)]
    return Result(min(finite, default=math.inf) - problem.optimum, len(losses) - len(finite))


def ours(problem: Problem, sampler: str, seed: int, trials: int) -> list[float]:
    """The loss of every trial, as a study of ours draws them."""
    space = check(parse(json.dumps(problem.space), "space.yaml"), None)
    search = SearchSettings.model_validate({"sampler": sampler, "trials": trials, "seed": seed})
    losses = []
    with tempfile.TemporaryDirectory() as folder:
        journal = FileJournal(Path(folder) / "journal.log", writable=True)
        record = Record(journal, (Objective("loss"),), NoPruner().make())
        draws = Draws(record, space, search, NoPruner())
        for number in range(trials):
            proposal = draws.next().result()
            assert proposal is not None
            loss = problem.loss(draws.open(proposal, workers=1).config)
            record.report(number, 1, loss)
            if math.isfinite(loss):
                record.finish(number, Outcome(State.COMPLETE, {"loss": loss}), [loss])
            else:
                record.finish(number, Outcome(State.DIVERGED, {}, "not finite"), [])
            draws.ended(number)
            losses.append(loss)
        draws.close()
        record.close()
    return losses


def plain(problem: Problem, sampler: str, seed: int, trials: int) -> list[float]:
    """The loss of every trial, as `study.optimize` draws them."""
    losses = []

    def objective(trial: optuna.Trial) -> float:
        losses.append(problem.loss(suggest(trial, "", problem.space)))
        return losses[-1]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=PLAIN[sampler](seed))
    study.optimize(objective, n_trials=trials)
    return losses


def suggest(trial: optuna.Trial, name: str, node: Any) -> Any:
    """A config of the space, by Optuna's suggestions; those of a branch have names of their own."""
    if not isinstance(node, dict):
        return node
    if "low" in node:
        return trial.suggest_float(name, node["low"], node["high"], log=node.get("log", False))
    if "choices" in node:
        branches = {branch["kind"]: branch for branch in node["choices"]}
        kind = trial.suggest_categorical(name, list(branches))
        return suggest(trial, f"{name}.{kind}", branches[kind])
    return {key: suggest(trial, f"{name}.{key}".lstrip("."), item) for key, item in node.items()}


@dataclass(frozen=True)
class Comparison:
    """One function and one of our samplers beside one of Optuna's, a result for each seed."""

    function: str
    sampler: str
    ours: Sequence[Result]
    plain: Sequence[Result]

    @property
    def p(self) -> float:
        found = mannwhitneyu([r.regret for r in self.ours], [r.regret for r in self.plain])
        return float(found.pvalue)

    @property
    def ratio(self) -> float:
        """Our median regret by Optuna's."""
        ours, plain = (
            statistics.median(r.regret for r in side) for side in (self.ours, self.plain)
        )
        return ours / plain

    def row(self, p: float) -> str:
        """Of the table of regrets, with a p that is corrected."""
        verdict = "no difference"
        if p < LEVEL:
            verdict = "better" if self.ratio < 1 else "worse"
        regrets = [[result.regret for result in side] for side in (self.ours, self.plain)]
        cells = [quartiles(regret, ".2g") for regret in regrets]
        return line(
            self.function, self.sampler, *cells, f"{self.ratio:.2f}", f"{self.p:.2g}", verdict
        )

    def wasted(self) -> str:
        """Of the table of diverged trials."""
        counts = [[result.wasted for result in side] for side in (self.ours, self.plain)]
        return line(self.function, self.sampler, *(quartiles(count, ".0f") for count in counts))


def quartiles(values: Sequence[float], form: str) -> str:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def run_all(jobs: Iterable[Job]) -> dict[Job, Result]:
    """Each in one thread, two at a time; the slowest first, so that both end at once."""
    slowest_first = sorted(jobs, key=lambda job: job.sampler not in ("gp", "auto"))
    results: dict[Job, Result] = {}
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(run, job): job for job in slowest_first}
        for done in as_completed(running):
            results[running[done]] = done.result()
            if len(results) % 50 == 0:
                print(f"  {len(results)} of {len(running)} studies", file=sys.stderr)
    return results


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, default=20, help="studies of each kind; at least 2")
    options.add_argument("--trials", type=int, default=60, help="of each study")
    options.add_argument("--quick", action="store_true", help="2 seeds of 11 trials, for a look")
    options.add_argument("--samplers", nargs="+", choices=BESIDE, default=list(BESIDE))
    options.add_argument("--functions", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    chosen = options.parse_args()
    if chosen.quick:
        chosen.seeds, chosen.trials = 2, 11
    if chosen.seeds < 2:
        options.error(f"--seeds must be at least 2 for quartiles, got {chosen.seeds}")

    def jobs(ours: bool, function: str, sampler: str) -> list[Job]:
        return [Job(ours, function, sampler, seed, chosen.trials) for seed in range(chosen.seeds)]

    pairs = {
        (function, sampler): (jobs(True, function, sampler), jobs(False, function, BESIDE[sampler]))
        for function in chosen.functions
        for sampler in chosen.samplers
    }
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that are started
    began = time.perf_counter()
    results = run_all({job for sides in pairs.values() for side in sides for job in side})
    seconds = time.perf_counter() - began
    comparisons = [
        Comparison(*names, *([results[job] for job in side] for side in sides))
        for names, sides in pairs.items()
    ]
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, optuna"
        f" {version('optuna')}, torch {version('torch')}, cmaes {version('cmaes')}; median"
        f" (quartiles) of n = {chosen.seeds} seeds, {chosen.trials} trials each; {len(results)}"
        f" studies in {seconds:.0f} s\n"
    )
    print(line("function", "sampler", "regret of ours", "of Optuna's", "ratio", "p", "ours is"))
    print(line(*["---"] * 7))
    for comparison, p in zip(
        comparisons, false_discovery_control([c.p for c in comparisons]), strict=True
    ):
        print(comparison.row(p))
    diverging = [c for c in comparisons if any(r.wasted for r in (*c.ours, *c.plain))]
    if diverging:
        print("\n" + line("function", "sampler", "diverged trials of ours", "of Optuna's"))
        print(line(*["---"] * 4))
        for comparison in diverging:
            print(comparison.wasted())


if __name__ == "__main__":
    main()
