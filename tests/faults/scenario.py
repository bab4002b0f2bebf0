"""Every fault, and what becomes of one study that it is done to."""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import injections
from execution import NAME, TRIALS, Execution, ended
from injections import LEASE_SECONDS, Struck
from mlflow_server import MlflowServer, mlflow_server
from object_stores import ObjectStore, S3Server, serving
from postgres import PostgresServer, postgres_server
from verdict import Verdict, judge

from hpo.errors import HpoError
from hpo.home import Home
from hpo.records import TrialRecord
from hpo.result import load_study

Driver = Literal["inline", "ray"]


@dataclass(frozen=True)
class Fault:
    """A row of the matrix.

    Args:
        needs: a server beside the study's home.
    """

    name: str
    strike: Callable[[Execution], Struck]
    drivers: tuple[Driver, ...] = ("inline", "ray")
    needs: Literal["mlflow", "postgres", "s3"] | None = None

    @property
    def id(self) -> str:
        return re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")


FAULTS = (
    Fault("run killed", injections.run_killed),
    Fault("coordinator killed", injections.coordinator_killed, ("ray",)),
    Fault("worker killed", injections.worker_killed, ("ray",)),
    Fault("worker stopped beyond its lease", injections.worker_stopped, ("ray",)),
    Fault("exception in the sampler", injections.sampler_raises),
    Fault("MLflow killed", injections.tracker_killed, needs="mlflow"),
    Fault("MLflow takes 5 s an answer", injections.tracker_slow, needs="mlflow"),
    Fault("MLflow answers 500", injections.tracker_failing, needs="mlflow"),
    Fault("MLflow's database wiped", injections.tracker_wiped),
    Fault("disk full", injections.disk_full),
    Fault("clock set back", injections.clock_set_back),
    Fault("run twice at once", injections.run_twice),
    Fault("last lines torn", injections.last_lines_torn),
    Fault("run killed, on PostgreSQL", injections.run_killed, needs="postgres"),
    Fault("PostgreSQL restarts", injections.database_restarts, needs="postgres"),
    Fault("S3 stands still", injections.store_stands_still, needs="s3"),
)


@dataclass
class World:
    """What executions share. Servers are started when the first fault needs them.

    Args:
        stack: ends them.
    """

    folder: Path
    stack: ExitStack

    @cached_property
    def mlflow(self) -> MlflowServer:
        return self.stack.enter_context(mlflow_server(self.folder))

    @cached_property
    def postgres(self) -> PostgresServer:
        return self.stack.enter_context(postgres_server())

    @cached_property
    def s3(self) -> ObjectStore:
        return self.stack.enter_context(serving(S3Server))

    @cached_property
    def undisturbed(self) -> list[TrialRecord]:
        """The study without a fault."""
        study = Execution(self.folder / "undisturbed", 0, random.Random(0), nap=0.0)
        study.begin()
        assert study.wait() == 0, study.said.read_text()
        return load_study(NAME, study.home).trials

    def used_home(self, home: Home) -> None:
        """Makes a home one in which a study was run before: its tracker's tables are there."""
        home.root.mkdir(parents=True)
        with (
            closing(sqlite3.connect(self.folder / "undisturbed" / "home" / "mlflow.db")) as source,
            closing(sqlite3.connect(home.root / "mlflow.db")) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=WAL")


@dataclass(frozen=True)
class Result:
    """What became of one study.

    Args:
        seconds: from the fault, or from running the study again where the fault ended it, until the
            trials that it met had ended, or the next one if none was running; of faults of the
            tracker, until what had ended was published. `None` where nothing was left to do.
        said: by the command, for whoever looks into a problem.
    """

    verdict: Verdict
    seconds: float | None
    said: str


def execute(fault: Fault, driver: Driver, seed: int, world: World) -> Result:
    """One study, one fault, run again to its end, and judged."""
    rng = random.Random(seed)
    study = Execution(
        world.folder / f"{fault.id}-{driver}-{seed}",
        workers=rng.choice([1, 2]) if driver == "ray" else 0,
        rng=rng,
        nap=0.1 if driver == "ray" else 0.03,
        lease_seconds=LEASE_SECONDS,
        server=world.mlflow if fault.needs == "mlflow" else None,
        database=world.postgres if fault.needs == "postgres" else None,
        store=world.s3 if fault.needs == "s3" else None,
    )
    if study.database:
        study.database.create(study.folder.name)
    undisturbed = world.undisturbed
    if rng.random() < 0.8:
        world.used_home(study.home)
    try:
        struck = fault.strike(study)
        healed = _until_published(study, ended(struck.before)) if struck.tracker else None
        survived = study.first.wait() == 0
        again = time.monotonic()
        study.begin()
        if struck.tracker and healed is None:
            survived, healed = False, _until_published(study, ended(struck.before))
        code = study.wait()
    finally:
        study.kill_all()
    since = struck.at if survived else again
    if not struck.tracker:
        # Workers of a run that was killed may live a moment longer; they do not count.
        gone = set() if survived else {n["pid"] for n in study.notes("start") if n["at"] < since}
        later = {
            note["number"]: note["at"]
            for note in reversed(study.notes("end"))
            if note["at"] > since and note["pid"] not in gone
        }
        cut_off = later.keys() & (struck.before.keys() - ended(struck.before))
        healed = (
            max(map(later.__getitem__, cut_off)) if cut_off else min(later.values(), default=None)
        )
    try:
        verdict = judge(study, struck.before, struck.at, undisturbed)
    except HpoError as error:  # the study cannot be read any more
        verdict = Verdict(TRIALS, 0, [str(error)])
    problems = [*struck.problems, *([] if code == 0 else [f"run again: exit code {code}"])]
    return Result(
        Verdict(verdict.lost, verdict.duplicated, problems + verdict.problems),
        None if healed is None else healed - since,
        study.said.read_text(),
    )


def _until_published(study: Execution, finished: set[int]) -> float | None:
    """When these trials were published; `None` if the run ended without that."""
    while True:
        running = study.processes[-1].poll() is None
        if finished <= _published(study):
            return time.monotonic()
        if not running:
            return None
        time.sleep(0.1)


def _published(study: Execution) -> set[int]:
    """Read past MLflow, which would make what it does not find."""
    home = study.server.folder if study.server else study.home.root
    try:
        with closing(sqlite3.connect(f"file:{home}/mlflow.db?mode=ro", uri=True)) as database:
            found = database.execute(
                "SELECT tags.value FROM runs JOIN tags USING (run_uuid)"
                " JOIN experiments USING (experiment_id) WHERE tags.key = 'hpo.trial'"
                " AND runs.status = 'FINISHED' AND experiments.name = ?",
                [study.experiment],
            ).fetchall()
    except sqlite3.OperationalError:  # not there, or not yet made
        return set()
    return {int(number) for (number,) in found}
