"""What holds wherever checkpoints are: in the study's folder, a shared one, S3, Google's store."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from pathlib import Path

import pytest

from hpo.checkpoints import (
    Checkpoints,
    Saved,
    StoreLost,
    open_checkpoints,
    remover,
    scratch,
    store,
    stored,
    transfer,
)
from hpo.errors import InputError
from hpo.home import Home
from hpo.records import TrialSpec


@pytest.fixture(params=["default", "folder", "s3", "gcs"])
def place(request, tmp_path):
    if request.param in ("s3", "gcs"):
        return request.getfixturevalue(request.param).bucket()
    return "default" if request.param == "default" else str(tmp_path / "shared")


@pytest.fixture
def checkpoints(place, home):
    return open_checkpoints(place, home.study("toy"), "toy-1")


class Execution:
    """One execution of trial 7, as a worker does it."""

    def __init__(self, checkpoints: Checkpoints, holds: bool = True) -> None:
        self.checkpoints = pickle.loads(pickle.dumps(checkpoints))  # as it gets to another node
        self.spec = TrialSpec(7, {}, 0, "lease", saved=checkpoints.saved(7))
        self.holds = holds

    def note(self, saved: Saved) -> bool:
        if self.holds:
            self.checkpoints.note(7, saved)
        return self.holds

    def run(self, **files: str) -> dict[str, str]:
        """Writes files, saves, and returns what was there before."""
        with self.checkpoints.open(self.spec, self.note) as working:
            found = read(working.folder)
            for name, text in files.items():
                path = working.folder / name.replace("__", "/")
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            working.save(patience_seconds=5)
        return found


def read(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_was_saved_is_there_the_next_time(checkpoints):
    assert Execution(checkpoints).run(state="1", deep__down="2") == {}
    assert Execution(checkpoints).run(state="3") == {"state": "1", "deep/down": "2"}
    assert read(checkpoints.local(7)) == {"state": "3", "deep/down": "2"}


def test_nothing_saved_is_an_empty_folder(checkpoints):
    assert read(checkpoints.local(3)) == {}


def test_what_is_dropped_is_gone_and_nothing_else_is(checkpoints):
    Execution(checkpoints).run(state="1")
    checkpoints.local(7)
    checkpoints.drop(7)
    checkpoints.drop(8)
    checkpoints.close()
    assert checkpoints.saved(7) is None
    assert not list(checkpoints.study.trial(7).glob("checkpoint*"))
    assert Execution(checkpoints).run() == {}


@pytest.mark.parametrize("place", ["folder", "s3", "gcs"], indirect=True)
class TestStored:
    def test_a_save_replaces_the_one_before(self, checkpoints, place):
        Execution(checkpoints).run(state="1")
        before = checkpoints.saved(7)
        Execution(checkpoints).run(state="2")
        assert checkpoints.saved(7) != before
        assert objects(checkpoints.root) == [f"{checkpoints.saved(7).prefix}/state"]

    def test_what_is_unchanged_is_not_saved_again(self, checkpoints):
        Execution(checkpoints).run(state="1")
        before = checkpoints.saved(7)
        assert Execution(checkpoints).run() == {"state": "1"}
        assert checkpoints.saved(7) == before

    def test_a_worker_that_lost_its_trial_changes_nothing(self, checkpoints):
        stale = Execution(checkpoints, holds=False)
        Execution(checkpoints).run(state="successor")
        stale.run(state="stale")
        assert read(checkpoints.local(7)) == {"state": "successor"}
        assert len(objects(checkpoints.root)) == 1

    def test_what_is_gone_from_the_store_begins_anew(self, checkpoints):
        Execution(checkpoints).run(a="1", b="2")
        transfer.remove(f"{checkpoints.root}/000007/{checkpoints.saved(7).prefix}/b")
        with pytest.raises(StoreLost, match="gone"):
            checkpoints.local(7)
        assert Execution(checkpoints).run(a="3") == {}
        assert read(checkpoints.local(7)) == {"a": "3"}

    def test_what_is_too_large_is_not_copied(self, checkpoints, monkeypatch):
        Execution(checkpoints).run(a="123", b="456")
        monkeypatch.setattr(transfer, "MAX_BYTES", 5)
        with pytest.raises(StoreLost, match="at most 5 bytes, got 6"):
            Execution(checkpoints).run()

    def test_a_mark_is_seen(self, checkpoints):
        mark = checkpoints.store.put_mark()
        assert checkpoints.store.sees(mark) == ""
        checkpoints.store.remove_mark(mark)
        assert "FileNotFoundError" in checkpoints.store.sees(mark)

    def test_clear(self, checkpoints):
        Execution(checkpoints).run(state="1")
        checkpoints.clear()
        assert objects(checkpoints.root) == []


def objects(root: str, number: int = 7) -> list[str]:
    """The files of a trial in a store."""
    from upath import UPath

    trial = UPath(root) / f"{number:06d}"
    trial.fs.invalidate_cache()
    start = len(trial.fs._strip_protocol(trial.path)) + 1
    return [name[start:] for name in trial.fs.find(trial.path)]


def test_a_folder_that_is_not_shared_is_noticed(home, tmp_path):
    here = open_checkpoints(str(tmp_path / "here"), home.study("toy"), "toy-1")
    there = open_checkpoints(str(tmp_path / "there"), home.study("toy"), "toy-1")
    assert "FileNotFoundError" in there.store.sees(here.store.put_mark())


def test_a_store_that_cannot_be_written_is_told(home, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE_S", 0.0)
    (tmp_path / "file").write_text("")
    checkpoints = open_checkpoints(str(tmp_path / "file"), home.study("toy"), "toy-1")
    with pytest.raises(StoreLost, match="cannot be written"):
        checkpoints.store.put_mark()
    with pytest.raises(StoreLost, match="could not be saved"):
        with checkpoints.open(TrialSpec(0, {}, 0, ""), lambda saved: True) as working:
            (working.folder / "state").write_text("1")
            working.save(patience_seconds=0.0)


def test_a_store_that_is_away_holds_no_trial_up(home, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "SAVE_S", 0.0)
    root = tmp_path / "store"
    root.write_text("")
    checkpoints = open_checkpoints(str(root), home.study("toy"), "toy-1")
    saved: list[Saved] = []
    with checkpoints.open(TrialSpec(0, {}, 0, ""), lambda s: not saved.append(s)) as working:
        (working.folder / "state").write_text("1")
        working.save_if_due()
        assert saved == []
        root.unlink()
        working.save_if_due()
        assert [s.files for s in saved] == [("state",)]


def test_a_save_waits_for_a_store_that_comes_back(home, tmp_path):
    root = tmp_path / "store"
    root.write_text("")
    checkpoints = open_checkpoints(str(root), home.study("toy"), "toy-1")
    back = threading.Timer(0.5, root.unlink)
    with checkpoints.open(TrialSpec(0, {}, 0, ""), lambda saved: True) as working:
        (working.folder / "state").write_text("1")
        back.start()
        working.save(patience_seconds=60)
    assert len(objects(checkpoints.root, 0)) == 1


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, ImportError])
def test_what_waiting_does_not_mend_is_told_at_once(error):
    asked = []

    def refused() -> None:
        asked.append(1)
        raise error("no")

    with pytest.raises(StoreLost, match=f"not saved: {error.__name__}: no"):
        transfer.persistently(refused, 600, "not saved")
    assert asked == [1]


def test_what_may_pass_is_tried_again_and_told_once(caplog):
    caplog.set_level(logging.WARNING, transfer.__name__)
    answers = iter([OSError("busy"), OSError("busy"), "here"])

    def busy() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert transfer.persistently(busy, 600, "not saved") == "here"
    assert [record.message for record in caplog.records] == [
        "not saved: OSError: busy; trying again for 600 s"
    ]


def test_what_a_store_did_not_remove_is_removed_later(tmp_path, monkeypatch):
    monkeypatch.setattr(remover, "AGAIN_S", 0.0)
    real, away, removed = transfer.remove, [True], []

    def remove(place: str) -> None:
        if away.pop() if away else False:
            raise OSError("away")
        real(place)

    monkeypatch.setattr(transfer, "remove", remove)
    cleaner = remover.Remover()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        cleaner.remove(str(tmp_path / name), lambda name=name: removed.append(name))
    cleaner.close()
    assert removed == ["a", "b"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../../out", "/etc/passwd"])
def test_a_note_that_leads_out_is_refused(home: Home, tmp_path, name):
    folder = home.study("toy")
    checkpoints = open_checkpoints(str(tmp_path), folder, "toy-1")
    checkpoints.note(7, Saved("prefix", ("state",)))
    note = folder.trial(7) / "checkpoint.json"
    note.write_text(json.dumps({"prefix": "p", "files": [name]}))
    with pytest.raises(InputError, match="leads out"):
        checkpoints.local(7)


def test_what_a_killed_process_has_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.tempfile, "gettempdir", lambda: str(tmp_path))
    with scratch.scratch_folder() as held:
        left = held.parents[1] / "left"
        left.mkdir()
        (left / "held").write_text("1")
        with scratch.scratch_folder():
            assert held.exists() and not left.exists()
    assert not held.exists()
