"""What is particular to the journal in a PostgreSQL database."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from postgres import PostgresServer

from hpo.errors import InputError, StudyConflict
from hpo.search.journal import forget, open_journal, storage_mistake
from hpo.search.journal.postgres import PostgresJournal


@pytest.fixture
def study(tmp_path: Path) -> str:
    return tmp_path.name


def read(server: PostgresServer, study: str) -> list[int]:
    journal = PostgresJournal(server.url, study, writable=False)
    return [operation["number"] for operation in journal.read_logs(0)]


def operations(*numbers: int) -> list[dict[str, int]]:
    return [{"op_code": 9, "number": number} for number in numbers]


def test_a_second_writer_is_refused_until_the_first_is_closed(postgres, study):
    first = PostgresJournal(postgres.url, study, writable=True)
    first.append_logs(operations(0))
    with pytest.raises(StudyConflict, match="another process writes to the study"):
        PostgresJournal(postgres.url, study, writable=True)
    with pytest.raises(StudyConflict):
        forget(postgres.url, Path("unused"), study)
    PostgresJournal(postgres.url, study + "-other", writable=True).close()
    assert read(postgres, study) == [0]
    first.append_logs(operations(1))
    first.close()
    second = PostgresJournal(postgres.url, study, writable=True)
    second.append_logs(operations(2))
    second.close()
    assert read(postgres, study) == [0, 1, 2]


def test_many_may_create_the_table_at_once(postgres):
    postgres.create("fresh")
    url = postgres.url_of("fresh")

    def write(number: int) -> None:
        journal = PostgresJournal(url, f"study-{number}", writable=True)
        journal.append_logs(operations(number))
        journal.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    for number in range(8):
        reader = PostgresJournal(url, f"study-{number}", writable=False)
        assert list(reader.read_logs(0)) == operations(number)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in-order", "crash"])
def test_a_database_that_restarts_is_waited_for(postgres, study, how):
    journal = PostgresJournal(postgres.url, study, writable=True)
    journal.append_logs(operations(0))
    postgres.stop(how)
    writing = threading.Thread(target=journal.append_logs, args=[operations(1, 2)])
    writing.start()
    writing.join(0.5)
    waited = writing.is_alive()
    postgres.start()
    writing.join()
    assert waited
    with pytest.raises(StudyConflict):  # the lock is held again
        PostgresJournal(postgres.url, study, writable=True)
    journal.append_logs(operations(3))
    journal.close()
    assert read(postgres, study) == [0, 1, 2, 3]


def test_a_database_that_does_not_come_back_is_not_waited_for_forever(postgres, study):
    journal = PostgresJournal(postgres.url, study, writable=True, patience_seconds=0.3)
    journal.append_logs(operations(0))
    postgres.stop()
    try:
        with pytest.raises(OSError, match=r"was waited for 0\.3 s"):
            journal.append_logs(operations(1))
    finally:
        postgres.start()
    with pytest.raises(OSError, match="was waited for"):  # memory is ahead of the database now
        journal.append_logs(operations(2))
    journal.close()
    assert read(postgres, study) == [0]


def end_session(server: PostgresServer, study: str) -> None:
    """What an administrator or a failing network may do to a writer."""
    with psycopg.connect(server.url) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory'"
            " AND (classid::bigint << 32) + objid::bigint"
            "   = hashtextextended('hpo_journal/' || %s, 0)",
            [study],
        ).fetchall()
    assert ended == [(True,)]


def test_a_session_that_was_ended_is_begun_anew(postgres, study):
    journal = PostgresJournal(postgres.url, study, writable=True)
    journal.append_logs(operations(0))
    end_session(postgres, study)
    journal.append_logs(operations(1))
    journal.close()
    assert read(postgres, study) == [0, 1]


@pytest.mark.parametrize("theirs", [1, 2], ids=["as-many", "more"])
def test_who_lost_the_study_to_another_writer_does_not_write_over_it(postgres, study, theirs):
    journal = PostgresJournal(postgres.url, study, writable=True)
    journal.append_logs(operations(0))
    end_session(postgres, study)
    other = PostgresJournal(postgres.url, study, writable=True)
    other.append_logs(operations(*range(10, 10 + theirs)))
    other.close()
    with pytest.raises(OSError, match="another process has written"):
        journal.append_logs(operations(1))
    journal.close()
    assert read(postgres, study) == [0, *range(10, 10 + theirs)]


def test_who_lost_the_study_to_a_writer_that_goes_on_gives_up(postgres, study):
    journal = PostgresJournal(postgres.url, study, writable=True, patience_seconds=0.5)
    end_session(postgres, study)
    other = PostgresJournal(postgres.url, study, writable=True)
    with pytest.raises(OSError, match="another process writes"):
        journal.append_logs(operations(0))
    other.append_logs(operations(1))
    other.close()
    assert read(postgres, study) == [1]


class Wire:
    """Another way to a server. Once `cut` is set, the next answer does not arrive."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.url = server.url.replace(str(server.folder), str(folder))
        self.cut = threading.Event()
        self._to = str(server.folder / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, server = self._listener.accept()[0], socket.socket(socket.AF_UNIX)
                server.connect(self._to)
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and self.cut.is_set():
                    self.cut.clear()
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_batch_that_was_committed_unheard_is_not_written_twice(postgres, study):
    with tempfile.TemporaryDirectory(prefix="hpo-wire-", dir="/tmp") as folder:
        wire = Wire(postgres, Path(folder))
        journal = PostgresJournal(wire.url, study, writable=True)
        journal.append_logs(operations(0))
        wire.cut.set()
        journal.append_logs(operations(1, 2))
        assert not wire.cut.is_set()
        journal.append_logs(operations(3))
        journal.close()
        wire.close()
    assert read(postgres, study) == [0, 1, 2, 3]


def test_what_the_database_refuses_ends_the_writing_at_once(postgres, study):
    journal = PostgresJournal(postgres.url, study, writable=True)
    journal.append_logs(operations(0))
    with psycopg.connect(postgres.url) as connection:
        connection.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE disk_full; END $$"
        )
        connection.execute(
            "CREATE TRIGGER no_room BEFORE INSERT ON hpo_journal EXECUTE FUNCTION no_room()"
        )
    try:
        with pytest.raises(OSError, match="disk_full"):
            journal.append_logs(operations(1))
    finally:
        with psycopg.connect(postgres.url) as connection:
            connection.execute("DROP FUNCTION no_room CASCADE")
    with pytest.raises(OSError, match="disk_full"):
        journal.append_logs(operations(1))
    journal.close()
    assert read(postgres, study) == [0]


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://nobody@/none?host=/nowhere", "cannot be used: connection"),
        ("postgresql://nobody@127.0.0.1:1/none", "refused"),
        ("postgresql://nobody@/none?colour=red", "invalid URI query parameter"),
    ],
)
def test_a_database_that_cannot_be_reached_is_an_error_with_a_remedy(url, message, writable):
    with pytest.raises(InputError, match=message) as raised:
        list(open_journal(url, Path("unused"), "study", writable).read_logs(0))
    assert "PGPASSWORD" in raised.value.hint


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "60")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/none?connect_timeout=2"
        with pytest.raises(InputError, match="timeout"):
            PostgresJournal(url, "study", writable=True)


@pytest.mark.parametrize(
    ("storage", "mistake"),
    [
        ("default", None),
        ("postgresql://ada@host/db", None),
        ("postgres://ada:@host:5432/db?sslmode=require", None),
        ("postgresql://postgres@/postgres?host=/tmp/x", None),
        ("postgresql://ada:secret@host/db", "PGPASSWORD"),
        ("postgresql://host/db?user=ada&password=secret", "PGPASSWORD"),
        ("mysql://ada:secret@host/db", "got mysql://..."),
        ("postgresql://ada:sec/ret@host/db", "is no URL"),
        ("postgresql://[secret", "is no URL"),
        ("sqlite.db", "got 'sqlite.db'"),
        ("", "got ''"),
    ],
)
def test_a_storage_that_cannot_be_is_a_mistake(storage, mistake):
    found = storage_mistake(storage)
    if mistake is None:
        assert found is None
    else:
        assert mistake in found and "sec" not in found


def test_a_missing_driver_is_a_mistake(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'hpo[postgres]'" in storage_mistake("postgresql://ada@host/db")
    assert storage_mistake("default") is None


def test_checking_a_storage_loads_neither_optuna_nor_the_driver():
    code = (
        "import sys; from hpo.search.journal import storage_mistake as wrong;"
        "print(wrong('postgresql://ada@host/db'),"
        " [m for m in ('optuna', 'psycopg') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout.strip(), ran.stderr) == ("None []", "")
