"""What a trial costs as a study grows: ask, record and publish apart, at trials 100, 1000, 10000.

    python benchmarks/growth.py [--trials 10000] [--samplers random tpe]

The trainable does nothing, so all that is measured is ours. One worker takes one trial after the
other from the coordinator, in this process; every trial is published to MLflow's SQLite store. In
long studies the next config is drawn while a trial runs: `draw` is the time of the sampler itself,
`ask` what the worker waits for it when trials take no time at all, and `waiting` the same when each
takes a second. Away from the marks tpe's configs are drawn at random, so that it takes minutes and
not hours: the sampler knows them all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpo import frozen, studyfile
from hpo.coordinator import Coordinator
from hpo.home import Home
from hpo.records import Outcome, Report, State
from hpo.search.samplers import Proposal, Proposer
from hpo.search.samplers.sampled import Random
from hpo.search.samplers.tpe import Tpe
from hpo.stage import Search
from hpo.track import open_tracker
from hpo.track.base import TrialPage

MARKS = (100, 1000, 10_000)
WINDOW = 50
"""Trials up to a mark over which a median is taken."""

SPACE = {
    "lr": {"low": 1e-5, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.99},
    "width": {"low": 8, "high": 512, "step": 8},
    "decay": {"low": 1e-6, "high": 1e-2, "log": True},
    "act": {"choices": ["relu", "tanh", "gelu"]},
}

GRID = SPACE | {
    "lr": {"choices": [10.0**exponent for exponent in range(-5, 1)]},
    "momentum": {"low": 0.0, "high": 0.9, "step": 0.1},
    "decay": 1e-4,
}
"""11 520 points."""


def nothing(config: dict[str, object], trial: object) -> dict[str, float]:
    """The trainable of this study; it is never called."""
    raise AssertionError


def study(folder: Path, sampler: str, trials: int) -> studyfile.Study:
    path = folder / "growth.yaml"
    path.write_text(
        json.dumps(
            {
                "name": "growth",
                "trainable": "growth:nothing",
                "space": GRID if sampler == "grid" else SPACE,
                "objective": {"metric": "loss"},
                "search": {"sampler": sampler, "trials": trials},
            }
        )
    )
    return studyfile.load(path)


def loss(config: dict[str, float]) -> float:
    return abs(config["lr"] - 0.01) + (config["momentum"] - 0.9) ** 2 + config["width"] / 5000


class Clock:
    """Milliseconds by what was done, one list for each."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.times.setdefault(what, []).append(1000 * (time.perf_counter() - began))

    def at(self, what: str, mark: int) -> tuple[float, float, float]:
        """Median and quartiles over the trials before a mark."""
        window = self.times[what][mark - WINDOW : mark]
        low, middle, high = statistics.quantiles(window, n=4)
        return middle, low, high


def hurried(clock: Clock, proposer: Proposer, trials: int) -> Callable[..., Proposal | None]:
    """Timed draws: of tpe, the sampler's own only shortly before a mark and at the end."""
    propose = proposer.propose
    slow = isinstance(proposer, Tpe)
    anyhow = Random(proposer.space, proposer.seed).propose if slow else propose
    windows = [range(mark - WINDOW - 2, mark) for mark in (*MARKS, trials + WINDOW)]

    def draw(study: Any, trial: Any, number: int, *rest: Any) -> Proposal | None:
        with clock.measure("draw"):
            chosen = propose if any(number in window for window in windows) else anyhow
            return chosen(study, trial, number, *rest)

    return draw


def grow(home: Home, sampler: str, trials: int, clock: Clock) -> Coordinator:
    checked = study(home.root, sampler, trials + WINDOW)
    card = frozen.freeze(checked, home)
    coordinator = Coordinator(Search(home.study("growth")))
    proposer = coordinator._draws._proposer
    proposer.propose = hurried(clock, proposer, trials)  # type: ignore[method-assign]
    tracker = open_tracker(checked.file.tracking, home, checked.name)
    tracker.start(card)
    for _ in range(trials):
        with clock.measure("ask"):
            spec = coordinator.next_trial("worker")
        assert spec is not None
        value = loss(dict(spec.config))
        with clock.measure("record"):
            coordinator.report(spec.number, spec.lease, Report(1, {"loss": value}, time.time()))
            coordinator.finish(spec.number, spec.lease, Outcome(State.COMPLETE))
        _, (trial, *_) = coordinator.changes(coordinator.changes(0)[0] - 1)
        with clock.measure("publish"):
            tracker.publish(TrialPage(trial, [Report(1, {"loss": value}, time.time())]))
        if (spec.number + 1) % 1000 == 0:
            print(f"  {sampler}: {spec.number + 1} trials", file=sys.stderr)
    return coordinator


def waits(coordinator: Coordinator, seconds: float, trials: int) -> list[float]:
    """Milliseconds that a worker waits for its next trial when each takes so long."""
    found = []
    for _ in range(trials):
        began = time.perf_counter()
        spec = coordinator.next_trial("worker")
        found.append(1000 * (time.perf_counter() - began))
        assert spec is not None
        time.sleep(seconds)
        outcome = Outcome(State.COMPLETE, {"loss": loss(dict(spec.config))})
        coordinator.finish(spec.number, spec.lease, outcome)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=MARKS[-1])
    options.add_argument("--samplers", nargs="+", default=["random", "grid", "tpe"])
    chosen = options.parse_args()
    marks = [mark for mark in MARKS if mark <= chosen.trials]
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, optuna"
        f" {version('optuna')}, mlflow {version('mlflow')}; median (quartiles) of {WINDOW} trials"
    )
    for sampler in chosen.samplers:
        with tempfile.TemporaryDirectory() as scratch:
            home, clock = Home(Path(scratch)), Clock()
            home.make()
            coordinator = grow(home, sampler, chosen.trials, clock)
            print(f"\n{sampler}, milliseconds a trial")
            print("| trial | ask | draw | record | publish | ask + record + publish |")
            print("|---:|---:|---:|---:|---:|---:|")
            for mark in marks:
                cells = [clock.at(what, mark) for what in ("ask", "draw", "record", "publish")]
                whole = cells[0][0] + cells[2][0] + cells[3][0]
                shown = " | ".join(f"{m:.1f} ({a:.1f} to {b:.1f})" for m, a, b in cells)
                print(f"| {mark} | {shown} | {whole:.1f} |")
            waited = waits(coordinator, 1.0, 10)
            print(
                f"waiting with trials of 1 s: median {statistics.median(waited[1:]):.1f} ms,"
                f" largest {max(waited[1:]):.1f} ms, n = {len(waited) - 1}"
            )
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"memory of the process, largest: {memory:.0f} MiB")
            coordinator.close()
            began = time.perf_counter()
            again = Coordinator(Search(home.study("growth")))
            opened = time.perf_counter() - began
            spec = again.next_trial("worker")
            first = time.perf_counter() - began
            assert spec is not None and spec.number == chosen.trials + 10
            again.close()
            print(f"opened again in {opened:.1f} s, first trial after {first:.1f} s")


if __name__ == "__main__":
    main()
