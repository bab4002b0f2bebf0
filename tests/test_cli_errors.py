"""What the command line says of an error: what is wrong, and no more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpo import cli
from hpo.errors import HpoError, InputError, StudyFailed


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (StudyFailed("no trial is complete"), "the study failed: no trial is complete\n", 1),
        (HpoError("Ray did not start", "see its log"), "Ray did not start\n  see its log\n", 1),
        (InputError("there is no study 'x'"), "there is no study 'x'\n", 2),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device\n", 1),
    ],
)
def test_only_a_study_that_failed_is_said_to_have(
    error: Exception,
    said: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("other", ["--studies=2", "--store=sqlite:///x", "--host=127.0.0.1"])
def test_a_node_is_told_nothing_but_whom_to_join(
    other: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HPO_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["hpo", "up", "--join", "10.1.2.3:6379", other])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "--join stands alone" in capsys.readouterr().err
