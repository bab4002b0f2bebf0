"""The fault matrix: every fault, many times over, each time at another moment.

python tests/faults/matrix.py --times 20              all of it; writes docs/faults.md
python tests/faults/matrix.py --only disk-full --times 5
python tests/faults/matrix.py --only disk-full --driver ray --seed 4711
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

from execution import ROOT, TRIALS
from scenario import FAULTS, Driver, Fault, Result, World, execute

INTRODUCTION = """\
# Faults

`make faults` wrote this page. In each execution a study of {trials} trials of a deterministic
trainable runs by the command, inline or on one or two Ray workers; one fault is done to it at a
random moment; then the study is run again and looked at. *Lost* are trials that had ended before
and are gone or changed; *duplicated* are those with more than one result in the record or more than
one run in MLflow; *other* are executions in which anything else was wrong: a config that differs
from the undisturbed study's (where one worker ran), reports that are not whole, a trial that is not
published with its whole curve, an exit code that was not to be expected.

Seconds count from the fault until the trials that were running have ended, or the next one where
none was; where the fault ends the run, from running the study again, which takes some seconds by
itself and under Ray waits for the processes of the run before; for MLflow, from its being well
again until what had ended was published. That a node vanishes is tried in `tests/nodes`.

{machine}

| fault | where | executions | lost | duplicated | other | s to recover, median | longest |
|---|---|---|---|---|---|---|---|
"""


@dataclass
class Row:
    """All executions of one fault in one place."""

    fault: Fault
    driver: Driver
    results: list[Result] = field(default_factory=list)

    def __str__(self) -> str:
        verdicts = [result.verdict for result in self.results]
        seconds = [result.seconds for result in self.results if result.seconds is not None]
        cells = [
            self.fault.name,
            self.driver,
            len(verdicts),
            sum(verdict.lost for verdict in verdicts),
            sum(verdict.duplicated for verdict in verdicts),
            sum(bool(v.problems) and not (v.lost or v.duplicated) for v in verdicts),
            f"{statistics.median(seconds):.1f}" if seconds else "",
            f"{max(seconds):.1f}" if seconds else "",
        ]
        return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10, help="executions of each fault")
    parser.add_argument("--only", choices=[fault.id for fault in FAULTS])
    parser.add_argument("--driver", choices=["inline", "ray"])
    parser.add_argument("--seed", type=int, help="of the first execution; the next has one more")
    options = parser.parse_args()
    first = random.randrange(10**6) if options.seed is None else options.seed
    rows = [
        Row(fault, driver)
        for fault in FAULTS
        for driver in fault.drivers
        if options.only in (None, fault.id) and options.driver in (None, driver)
    ]
    folder = Path(tempfile.mkdtemp(prefix="hpo-faults-"))
    with ExitStack() as stack:
        world = World(folder, stack)
        for time in range(options.times):  # all of them early, so that a problem shows soon
            for row in rows:
                result = execute(row.fault, row.driver, first + time, world)
                row.results.append(result)
                _show(row, first + time, result, folder)
    for row in rows:
        print(row)
    if options.only is None and options.driver is None:
        table = "".join(f"{row}\n" for row in rows)
        page = INTRODUCTION.format(trials=TRIALS, machine=_machine()) + table
        (ROOT / "docs" / "faults.md").write_text(page)
    return int(any(result.verdict.problems for row in rows for result in row.results))


def _show(row: Row, seed: int, result: Result, folder: Path) -> None:
    seconds = "" if result.seconds is None else f", {result.seconds:.1f} s"
    problems = result.verdict.problems
    print(
        f"{row.fault.id} {row.driver} --seed {seed}: {len(problems)} problems{seconds}", flush=True
    )
    for problem in problems:
        print(f"    {problem}")
    if problems:
        print(f"    see {folder}\n{result.said[-2000:]}", flush=True)


def _machine() -> str:
    models = [s for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in ("optuna", "ray", "mlflow"))
    return (
        f"On {models[0].partition(': ')[2]}, {os.cpu_count()} CPUs, {memory:.0f} GiB,"
        f" {platform.system()} {platform.release().partition('-')[0]};"
        f" Python {platform.python_version()}, {versions}."
    )


if __name__ == "__main__":
    sys.exit(main())
