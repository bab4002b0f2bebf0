"""What must hold of a study after a fault, once it has been run again."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass

from execution import NAME, TRIALS, Execution, Seen, ended
from steady import STEPS, loss

from hpo import metric_log
from hpo.records import State, TrialRecord
from hpo.result import load_study
from hpo.search.journal import open_journal
from hpo.seeds import derive

SET_TRIAL_STATE_VALUES = 6  # Optuna's operation that ends a trial
SEED = 7


@dataclass(frozen=True)
class Verdict:
    """Args:
    lost: trials that had ended and are gone or changed, or that are missing.
    duplicated: trials with more than one result, in the record or in the tracker.
    problems: everything that is wrong, these included, in words.
    """

    lost: int
    duplicated: int
    problems: list[str]


def judge(study: Execution, before: Seen, at: float, undisturbed: list[TrialRecord]) -> Verdict:
    """Looks at everything that the study has left.

    Args:
        before: what the record had at the time `at`.
        undisturbed: the same study, run inline without a fault.
    """
    result = load_study(NAME, study.home)
    trials = {trial.number: trial for trial in result.trials}
    problems = []
    if not result.done:
        problems.append("the study is not done")

    lost = set(range(TRIALS)) - trials.keys()
    lost |= {n for n in ended(before) if n in trials and trials[n] != before[n]}
    if lost:
        problems.append(f"lost: {sorted(lost)}")

    later = {n["number"]: n["step"] for n in reversed(study.notes("start")) if n["at"] > at}
    twice = _ended_twice(study) | (later.keys() & ended(before))
    try:
        runs, whole = _published(study)
    except Exception as error:  # the store itself is broken
        runs, whole = Counter[int](), set[int]()
        problems.append(f"MLflow's store cannot be read: {str(error).splitlines()[0]}")
    twice |= {number for number, times in runs.items() if times > 1}
    if twice:
        problems.append(f"twice: {sorted(twice)}")

    problems += [
        f"trial {number} went on from step {step}, it had reported {before[number].steps}"
        for number, step in later.items()
        if number in before and step < before[number].steps
    ]
    problems += [wrong for trial in result.trials for wrong in _result(study, trial)]
    if study.workers < 2:
        problems += [
            f"trial {a.number} has {a.config}, undisturbed {b.config}"
            for a, b in zip(result.trials, undisturbed, strict=False)
            if _drawn(a) != _drawn(b)
        ]
    if whole != set(range(TRIALS)):
        problems.append(f"published whole are only {sorted(whole)}")
    best = min(result.trials, key=_value).number
    if result.kept is None or [kept.trial for kept in result.kept.best] != [best]:
        problems.append("what is kept is not the best trial")
    return Verdict(len(lost), len(twice), problems)


def _value(trial: TrialRecord) -> float:
    return math.inf if trial.value is None else trial.value


def _drawn(trial: TrialRecord) -> float:
    x = trial.config["x"]
    assert isinstance(x, float)
    return x


def _result(study: Execution, trial: TrialRecord) -> list[str]:
    """A result belongs to its config and its seed, and its reports are whole."""
    x, seed = _drawn(trial), derive(SEED, "trial", trial.number)
    problems = []
    if trial.state is not State.COMPLETE or trial.value != loss(x, seed, STEPS):
        problems.append(f"trial {trial.number} is {trial.state} with {trial.value}")
    log = study.home.study(NAME).metrics(trial.number)
    reports = metric_log.read(log)
    if [r.metrics["loss"] for r in reports] != [loss(x, seed, r.step) for r in reports]:
        problems.append(f"trial {trial.number} has reports that are not its own: {log}")
    if not reports or reports[-1].step != STEPS:
        problems.append(f"trial {trial.number} has reported {len(reports)} steps")
    return problems


def _ended_twice(study: Execution) -> set[int]:
    """Trials that the journal ends more than once; readers would pass over the second time."""
    spec = json.loads(study.home.study(NAME).spec.read_text())
    journal = open_journal(study.storage, study.journal, spec["id"], writable=False)
    ends = Counter(
        operation["trial_id"]
        for operation in journal.read_logs(0)
        if operation["op_code"] == SET_TRIAL_STATE_VALUES
    )
    return {number for number, times in ends.items() if times > 1}


def _published(study: Execution) -> tuple[Counter[int], set[int]]:
    """How many runs each trial has in the tracker, and which have ended there, curve and all."""
    from mlflow import MlflowClient

    client = MlflowClient(study.server.direct if study.server else study.home.tracking_uri)
    experiment = client.get_experiment_by_name(study.experiment)
    if experiment is None:
        return Counter[int](), set[int]()
    runs, whole = Counter[int](), set[int]()
    for run in client.search_runs([experiment.experiment_id], "tags.hpo.trial != ''"):
        number = int(run.data.tags["hpo.trial"])
        runs[number] += 1
        curve = client.get_metric_history(run.info.run_id, "loss")
        reported = metric_log.read(study.home.study(NAME).metrics(number))
        if run.info.status == "FINISHED" and sorted(m.step for m in curve) == [
            report.step for report in reported
        ]:
            whole.add(number)
    return runs, whole
