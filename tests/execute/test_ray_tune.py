"""Workers on a real local Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from typing import Any

import psutil
import pytest
from toys import lines

from hpo.errors import ResourceError
from hpo.execute import memory
from hpo.execute.nodes import Node, alive, count_workers
from hpo.execute.settings import ResourceSettings
from hpo.records import State
from hpo.study import run

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_same_configs_as_inline(write_study, home, tmp_path):
    here = run(write_study(name="here"), inline=True, home=home)
    there = run(write_study(name="there", resources={"workers": 1}), home=home)
    assert [t.config for t in there.trials] == [t.config for t in here.trials]
    assert there.best.value == here.best.value


def test_workers_stay_warm(write_study, home, tmp_path):
    log = tmp_path / "log"
    space = {"x": {"low": 0, "high": 1}, "log": str(log)}
    run(write_study(space=space, search={"sampler": "random", "trials": 12}), home=home)
    assert len({line["pid"] for line in lines(log)}) <= 2


def test_a_study_keeps_to_its_share_of_a_cluster(write_study, home, tmp_path):
    log = tmp_path / "log"
    space = {"x": {"low": 0, "high": 1}, "log": str(log), "nap": 0.1}
    path = write_study(space=space, search={"sampler": "random", "trials": 4})
    rooms = []

    def share(room: int) -> int:
        rooms.append(room)
        return 1

    assert run(path, home=home, cluster=lambda: contextlib.nullcontext(share)).done
    assert set(rooms) == {2} and len({line["pid"] for line in lines(log)}) == 1


def test_what_a_trial_prints_is_kept_in_its_folder(write_study, home, tmp_path):
    (tmp_path / "loud.py").write_text(
        "def train(config, trial):\n    print('I am', trial.number)\n    return {'loss': 0.0}\n"
    )
    run(write_study(trainable="loud:train", search={"sampler": "random", "trials": 2}), home=home)
    folder = home.study("toy")
    assert [folder.output(n).read_text() for n in (0, 1)] == ["I am 0\n", "I am 1\n"]


def test_isolated_trials_have_processes_of_their_own(write_study, home, tmp_path):
    log = tmp_path / "log"
    study = write_study(
        space={"x": {"low": 0, "high": 1}, "log": str(log)},
        search={"sampler": "random", "trials": 3},
        resources={"isolate": True},
    )
    assert run(study, home=home).done
    assert len({line["pid"] for line in lines(log)}) == 3


def test_killed_worker_is_replaced_and_its_trial_runs_on_under_the_same_number(
    write_study, home, tmp_path
):
    log = tmp_path / "log"
    log.touch()
    space = {"x": {"low": 0, "high": 1}, "nap": 0.3, "log": str(log)}
    study = write_study(space=space, search={"sampler": "random", "trials": 6})
    killed: list[int] = []

    def kill_one() -> None:
        while not killed:
            time.sleep(0.1)
            checkpoint = home.study("toy").checkpoint(1) / "state.json"
            if checkpoint.exists():
                pid = next(line["pid"] for line in lines(log) if line["number"] == 1)
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    result = run(study, home=home)
    killer.join()
    assert [t.number for t in result.trials] == list(range(6))
    assert {t.state for t in result.trials} == {State.COMPLETE}
    starts = Counter(line["number"] for line in lines(log))
    assert starts == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    again = [line for line in lines(log) if line["number"] == 1][1]
    assert again["pid"] != killed[0] and again["from"] >= 1


def test_trial_that_kills_its_workers_is_given_up(write_study, home):
    space = {"mode": {"choices": ["good", "die"]}}
    study = write_study(space=space, search={"sampler": "grid"}, resources={"workers": 1})
    good, bad = run(study, home=home).trials
    assert good.state is State.COMPLETE
    assert (bad.state, bad.reason) == (State.FAILED, "its worker died 3 times while running it")


@pytest.mark.parametrize(("share", "gpus_seen"), [(1, {"0", "1"}), (0.5, {"0"})])
def test_each_worker_sees_its_own_gpus(write_study, home, tmp_path, share, gpus_seen):
    log = tmp_path / "log"
    study = write_study(
        trainable="toys:environment",
        space={"log": str(log), "nap": 2.0, "x": {"low": 0, "high": 1}},
        search={"sampler": "random", "trials": 2},
        resources={"workers": 2, "gpus": share},
    )
    run(study, home=home)
    seen = {line["pid"]: line["gpus"] for line in lines(log)}
    assert len(seen) == 2
    assert set(seen.values()) == gpus_seen


@pytest.mark.parametrize("cpus", [1, 2])
def test_one_thread_for_each_cpu_of_a_worker(write_study, home, tmp_path, cpus):
    log = tmp_path / "log"
    study = write_study(
        trainable="toys:environment",
        space={"log": str(log), "nap": 0.0},
        search={"sampler": "grid"},
        resources={"workers": 1, "cpus": cpus},
    )
    run(study, home=home)
    (seen,) = lines(log)
    assert (seen["omp"], seen["torch"], seen["gpus"]) == (str(cpus), cpus, "")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"gpus": 3}, "resources.gpus asks for 3 a worker, this machine has 2"),
        ({"gpus": 1.5}, "resources.gpus above 1 must be whole, got 1.5"),
        ({"workers": 3}, "3 workers with 1 CPUs and 0 GPUs each do not fit on 2 CPUs"),
        ({"cpus": 3}, "1 workers with 3 CPUs"),
        ({"workers": 5, "gpus": 0.5}, "5 workers with 1 CPUs and 0.5 GPUs each do not fit"),
    ],
)
def test_what_the_machine_lacks_is_refused(asked, message):
    with pytest.raises(ResourceError, match=message):
        count_workers(ResourceSettings(**asked), alive())


def test_shares_of_a_gpu_are_counted_without_rounding_errors():
    node = Node("", "", {"CPU": 100.0, "GPU": 1.0})
    for parts in range(1, 40):
        assert count_workers(ResourceSettings(gpus=1 / parts), [node]) == parts


def test_a_worker_lies_on_one_node():
    nodes = [Node("", "", {"CPU": 6.0, "GPU": 3.0})] * 2
    assert count_workers(ResourceSettings(cpus=4), nodes) == 2
    assert count_workers(ResourceSettings(gpus=2), nodes) == 2
    with pytest.raises(ResourceError, match="no machine has more than 3"):
        count_workers(ResourceSettings(gpus=4), nodes)
    with pytest.raises(ResourceError, match="on 12 CPUs and 6 GPUs of 2 machines"):
        count_workers(ResourceSettings(workers=3, cpus=4), nodes)


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 2),
        ({"cpus": 2}, 1),
        ({"gpus": 1}, 2),
        ({"gpus": 2}, 1),
        ({"gpus": 0.1}, 2),
        ({"workers": 1}, 1),
    ],
)
def test_as_many_workers_as_there_is_room_for(asked, count):
    assert count_workers(ResourceSettings(**asked), alive()) == count


def test_a_worker_that_falls_silent_is_replaced_and_its_trial_runs_on(write_study, home, tmp_path):
    log = tmp_path / "log"
    study = write_study(
        space={"x": {"low": 0, "high": 1}, "nap": 0.2, "log": str(log)},
        search={"sampler": "random", "trials": 4},
        resources={"workers": 2, "lease_seconds": 2},
    )
    stopped: list[dict[str, Any]] = []

    def stop_one(progress, trouble):
        if not stopped and log.exists() and (started := lines(log)):
            stopped.append(started[0])
            os.kill(started[0]["pid"], signal.SIGSTOP)

    try:
        result = run(study, home=home, observer=stop_one)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped[0]["pid"], signal.SIGCONT)
    assert [t.state for t in result.trials] == [State.COMPLETE] * 4
    pids = [line["pid"] for line in lines(log) if line["number"] == stopped[0]["number"]]
    assert len(pids) == 2 and len(set(pids)) == 2


def test_a_trial_that_hangs_fails_at_its_time_limit(write_study, home):
    study = write_study(
        space={"x": 0.5, "nap": {"choices": [1000.0, 0.0]}},
        search={"sampler": "grid"},
        resources={"workers": 1},
        budget={"trial_seconds": 1},
    )
    hanging, other = run(study, home=home).trials
    assert hanging.state is State.FAILED and "budget.trial_seconds" in hanging.reason
    assert other.state is State.COMPLETE


def test_a_trial_that_fills_the_memory_ends_as_that_and_its_worker_is_replaced(write_study, home):
    limit = memory.share_in_use() + 0.1
    eaten = int(0.25 * psutil.virtual_memory().total)
    study = write_study(
        trainable="toys:eat",
        space={"bytes": {"choices": [eaten, 0]}},
        search={"sampler": "grid"},
        resources={"workers": 1, "memory_limit": limit},
    )
    large, small = run(study, home=home).trials
    assert large.state is State.OUT_OF_MEMORY and "of the machine's memory" in large.reason
    assert small.state is State.COMPLETE


def test_a_call_after_the_end_of_a_cluster_joins_no_other_one():
    code = """
        import hpo.execute.ray_tune, ray
        try:
            ray.put(1)
        except Exception as error:
            print(type(error).__name__, ray.is_initialized())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    # Should it try after all, it finds nothing there.
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.stdout.strip() == "RaySystemError False", ran.stderr


def test_a_study_stops_though_its_workers_find_no_room(write_study, home):
    import ray

    @ray.remote(num_cpus=2)
    class Other:
        def here(self) -> None: ...

    other = Other.remote()
    ray.get(other.here.remote())
    interrupted = []

    def interrupt(progress, trouble):
        if not interrupted:
            interrupted.append(progress)
            os.kill(os.getpid(), signal.SIGINT)

    try:
        result = run(write_study(), home=home, observer=interrupt)
    finally:
        ray.kill(other)
    assert not result.done and result.trials == []
