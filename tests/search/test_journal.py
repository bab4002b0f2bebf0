"""Every store of the journal keeps the same promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage

from hpo.errors import InputError
from hpo.search.journal import FILE, forget, journal_exists, open_journal
from hpo.search.journal.base import Journal, Operation

ROOT = Path(__file__).parents[2]


@dataclass
class Store:
    """One study's place in a store."""

    storage: str
    file: Path
    study: str

    def open(self, writable: bool = True) -> Journal:
        return open_journal(self.storage, self.file, self.study, writable)

    def read(self) -> list[Operation]:
        return list(self.open(writable=False).read_logs(0))

    def exists(self) -> bool:
        return journal_exists(self.storage, self.file, self.study)

    def forget(self) -> None:
        forget(self.storage, self.file, self.study)


@pytest.fixture(params=["file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = request.getfixturevalue("postgres").url if request.param == "postgres" else FILE
    return Store(url, tmp_path / "journal", tmp_path.name)


def operations(*numbers: int) -> list[Operation]:
    return [{"op_code": 9, "number": n, "text": "ä\n\x00", "of": [1.5, None]} for n in numbers]


def numbers(found: list[Operation]) -> list[int]:
    return [operation["number"] for operation in found]


def test_what_is_appended_is_read_in_order_and_unchanged(store):
    journal = store.open()
    assert list(journal.read_logs(0)) == []
    journal.append_logs(operations(0, 1))
    journal.append_logs(operations(2))
    assert list(journal.read_logs(0)) == operations(0, 1, 2)
    journal.append_logs(operations(3))
    assert list(journal.read_logs(3)) == operations(3)
    assert list(journal.read_logs(4)) == []
    assert store.read() == operations(0, 1, 2, 3)


def test_a_value_that_is_not_finite_survives(store):
    journal = store.open()
    journal.append_logs([{"op_code": 7, "value": float("inf")}])
    assert store.read() == [{"op_code": 7, "value": float("inf")}]


def test_a_journal_is_continued_where_it_ended(store):
    journal = store.open()
    journal.append_logs(operations(0, 1))
    journal.close()
    journal.close()
    with pytest.raises(OSError, match="closed"):
        journal.append_logs(operations(2))
    again = store.open()
    assert list(again.read_logs(0)) == operations(0, 1)
    again.append_logs(operations(2))
    assert store.read() == operations(0, 1, 2)
    assert list(again.read_logs(2)) == operations(2)


def test_a_batch_is_in_memory_at_once_and_in_the_store_at_its_end(store):
    journal = store.open()
    assert list(journal.read_logs(0)) == []
    with journal.batch():
        journal.append_logs(operations(0))
        assert list(journal.read_logs(0)) == operations(0)
        journal.append_logs(operations(1))
        if store.exists():
            assert store.read() == []
    assert list(journal.read_logs(1)) == operations(1)
    assert store.read() == operations(0, 1)


def test_an_exception_in_a_batch_does_not_let_the_store_fall_behind(store):
    journal = store.open()
    with pytest.raises(ZeroDivisionError), journal.batch():
        journal.append_logs(operations(0))
        _ = 1 / 0
    assert store.read() == operations(0)
    journal.append_logs(operations(1))
    assert store.read() == operations(0, 1)


def test_a_reader_sees_what_was_there_when_it_looked_first(store):
    journal = store.open()
    journal.append_logs(operations(0))
    reader = store.open(writable=False)
    assert list(reader.read_logs(0)) == operations(0)
    journal.append_logs(operations(1))
    assert list(reader.read_logs(1)) == []
    with pytest.raises(AssertionError):
        reader.append_logs(operations(2))


def test_studies_do_not_see_each_other(store, tmp_path):
    other = Store(store.storage, tmp_path / "other", store.study + "-other")
    store.open().append_logs(operations(0))
    other.open().append_logs(operations(1, 2))
    assert (store.read(), other.read()) == (operations(0), operations(1, 2))
    assert store.exists() and other.exists()


def test_a_journal_exists_once_something_is_written_and_until_it_is_forgotten(store):
    assert not store.exists()
    store.forget()
    with pytest.raises(InputError, match="there is no record"):
        store.read()
    journal = store.open()
    assert not store.exists()
    journal.append_logs(operations(0))
    assert store.exists()
    journal.close()
    store.forget()
    assert not store.exists()
    again = store.open()
    again.append_logs(operations(1))
    assert store.read() == operations(1)


def test_optuna_runs_a_study_on_it(store):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = store.open()
    study = optuna.create_study(storage=JournalStorage(journal), study_name="study")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
    journal.close()
    reader = JournalStorage(store.open(writable=False))
    seen = optuna.load_study(study_name="study", storage=reader)
    assert [t.values for t in seen.trials] == [t.values for t in study.trials]


WRITE_BATCHES = """
import sys
from pathlib import Path
from hpo.search.journal import open_journal

storage, file, study = sys.argv[1:]
journal = open_journal(storage, Path(file), study, writable=True)
number = len(list(journal.read_logs(0)))
while True:
    with journal.batch():
        for _ in range(SIZE):
            journal.append_logs([{"op_code": 9, "number": number, "text": "x" * 500}])
            number += 1
    print(number, flush=True)
"""


def writer(store: Store, size: int, prepare: Callable[[], None] | None = None):
    """A process that appends batches of `size` and prints how many operations it was sure of."""
    return subprocess.Popen(
        [
            *(sys.executable, "-c", WRITE_BATCHES.replace("SIZE", str(size))),
            *(store.storage, store.file, store.study),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


@pytest.mark.parametrize("batches", [1, 3, 10, 30])
def test_a_writer_that_is_killed_leaves_what_it_was_sure_of_and_at_most_one_batch(store, batches):
    size = 200
    process = writer(store, size)
    for _ in range(batches):
        sure = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest, errors = process.communicate()
    assert errors == ""
    sure = max([sure, *map(int, rest.split())])
    again = store.open()  # cuts what is torn; the lock died with its holder
    found = numbers(list(again.read_logs(0)))
    assert found == list(range(len(found)))
    assert sure <= len(found) <= sure + size
    if store.storage != FILE:
        assert len(found) % size == 0
    again.append_logs(operations(len(found)))
    assert numbers(store.read()) == list(range(len(found) + 1))


def test_a_study_of_ten_thousand_trials_is_read_whole(store):
    journal = store.open()
    with journal.batch():
        journal.append_logs(operations(*range(60_000)))
    assert numbers(store.read()) == list(range(60_000))


@pytest.mark.parametrize("text", ["garbage", "[]", "{}", "3"])
def test_damage_is_reported_with_its_place_and_left_as_it_is(store, text):
    journal = store.open()
    journal.append_logs(operations(0, 1, 2))
    journal.close()
    damage(store, 1, text)
    for writable in (False, True):
        with pytest.raises(InputError, match=r"(:2|position 1): the record is damaged") as raised:
            list(store.open(writable).read_logs(0))
        assert "from a copy" in raised.value.hint
    assert line(store, 1) == text


def damage(store: Store, position: int, text: str) -> None:
    if store.storage == FILE:
        lines = store.file.read_text().splitlines()
        lines[position] = text
        store.file.write_text("\n".join(lines) + "\n")
        return
    import psycopg

    with psycopg.connect(store.storage) as connection:
        connection.execute(
            "UPDATE hpo_journal SET operation = %s WHERE study = %s AND position = %s",
            [text, store.study, position],
        )


def line(store: Store, position: int) -> str:
    if store.storage == FILE:
        return store.file.read_text().splitlines()[position]
    import psycopg

    with psycopg.connect(store.storage) as connection:
        found = connection.execute(
            "SELECT operation FROM hpo_journal WHERE study = %s AND position = %s",
            [store.study, position],
        ).fetchone()
    return str(found[0])
