"""Texts as data: windows, vocabulary, splits, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from train_helpers import Run, config

from hpo.errors import DataError
from hpo.train.builtin import trainer
from hpo.train.data import Arrays, Splits, Text, load
from hpo.train.evaluation import evaluate
from hpo.train.problem import assemble
from hpo.train.task import Window
from hpo.trainable import TrialStopped

LETTERS = "".join(chr(0x4E00 + i) for i in range(1000))
"""A thousand different characters: each tells where it stood."""


def read(folder: Path, text: str, **data: Any) -> Splits:
    (folder / "t.txt").write_text(text, encoding="utf-8")
    return load(Text(path="t.txt", **data), folder)


def written(arrays: Arrays, vocabulary: str) -> list[tuple[str, str]]:
    """Inputs and targets as texts."""
    return [
        ("".join(vocabulary[i] for i in x), "".join(vocabulary[i] for i in y))
        for x, y in zip(arrays.x, arrays.y, strict=True)
    ]


def test_windows_and_the_characters_after_each(tmp_path: Path) -> None:
    text = "the cat sat on the mat " * 10
    splits = read(tmp_path, text, length=4)
    assert (splits.task, splits.outputs) == ("next_character", len(splits.vocabulary))
    assert splits.inputs == Window(4, splits.outputs)
    assert splits.vocabulary == "\ufffd" + "".join(sorted(set(text)))
    assert splits.train.x.dtype == splits.train.y.dtype == np.int64
    pieces = [
        inputs + targets[-1:]
        for part in (splits.train, splits.validation, splits.test())
        for inputs, targets in written(part, splits.vocabulary)
    ]
    assert "".join(pieces) == text[: len(text) // 5 * 5], "in order, each character once"
    for inputs, targets in written(splits.train, splits.vocabulary):
        assert inputs[1:] == targets[:-1]


def test_no_split_has_a_character_of_another(tmp_path: Path) -> None:
    """All of the 1000 are different, so the training split knows none of the others."""
    splits = read(tmp_path, LETTERS, length=9, split={"validation": 0.2, "test": 0.1})
    train, validation, test = splits.train, splits.validation, splits.test()
    assert [len(part) for part in (train, validation, test)] == [70, 20, 10]
    assert splits.vocabulary == "\ufffd" + LETTERS[:700]
    assert train.x.min() == 1 and not validation.x.any() and not test.y.any()


def test_the_shares_are_by_position(tmp_path: Path) -> None:
    text = "a" * 300 + "ab" * 30 + "b" * 120 + "c" * 120
    splits = read(tmp_path, text, length=9)
    assert set(splits.train.x.flat) == {1, 2}
    assert set(splits.validation.x.flat) == {2}
    assert set(splits.test().x.flat) == {0}, "c is none that training knows"
    assert splits.vocabulary == "\ufffdab"


def test_a_refit_keeps_the_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(LETTERS, encoding="utf-8")
    text = Text(path="t.txt", length=9)
    usual, both = load(text, tmp_path), load(text, tmp_path, refit=True)
    assert len(both.train) == len(usual.train) + len(usual.validation)
    assert both.vocabulary == usual.vocabulary


@pytest.mark.parametrize(
    ("content", "length", "message"),
    [
        (b"", 4, "at least two different characters, it has 0 in 0 pieces of 5"),
        (b"abcd" * 100, 401, "at least two different characters, it has 0 in 0 pieces"),
        (b"a" * 400, 4, "at least two different characters, it has 1"),
        (b"ab" * 7, 4, "each split needs rows, 2 rows make 2"),
        (b"caf\xe9" * 50, 4, "cannot be read as UTF-8"),
        ("abcd".encode("utf-16") * 100, 4, "cannot be read as UTF-8"),
    ],
)
def test_texts_that_cannot_be_used(
    tmp_path: Path, content: bytes, length: int, message: str
) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(Text(path="t.txt", length=length), tmp_path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a")
    with pytest.raises(DataError, match="there is no such file") as caught:
        load(Text(path="texts.txt"), tmp_path)
    assert caught.value.hint == "did you mean 'text.txt'?"


def test_marks_and_replacement_characters(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf" + ("a\r\n\ufffd" * 100).encode())
    splits = load(Text(path="t.txt", length=4), tmp_path)
    assert splits.vocabulary == "\ufffd\n\ra", "line ends as they are, no mark of the encoding"
    assert (splits.train.x == 0).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    "changes",
    [{"scaling": "zscore"}, {"split": {"seed": 1}}, {"task": "regression"}, {"length": 0}],
)
def test_what_a_text_does_not_have(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(data={"kind": "text", "path": "t.txt"} | changes, model={"kind": "gru"})


def test_digests_follow_the_text(tmp_path: Path) -> None:
    chosen = config(data={"kind": "text", "path": "t.txt", "length": 4}, model={"kind": "gru"})
    (tmp_path / "t.txt").write_text("abcde" * 40 + "x")
    before = trainer.fingerprint(chosen, tmp_path)
    (tmp_path / "t.txt").write_text("abcde" * 39 + "abcdaxx")
    after = trainer.fingerprint(chosen, tmp_path)
    assert [name for name in before if before[name] != after[name]] == ["test"]


def test_scores_are_of_characters(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("aab" * 100 + "c")
    chosen = config(
        data={"kind": "text", "path": "t.txt", "length": 5},
        model={"kind": "gru", "width": 3},
        precision="float64",
    )
    assert trainer.metrics(chosen) == {"train_loss", "val_loss", "val_error"}
    problem = assemble(chosen, tmp_path)
    rows = problem.rows(problem.splits.validation)
    params = torch.zeros(problem.layout.size, dtype=torch.float64)
    problem.layout.split(params)["head.bias"].copy_(torch.tensor([1.0, 6.0, 3.0]).double().log())
    found = evaluate(problem, params, {}, rows)
    wrong = (rows.y != 1).double().mean().item()
    assert found["error"] == pytest.approx(wrong, rel=1e-12)
    nats = -(1 - wrong) * math.log(0.6) - wrong * math.log(0.3)
    assert found["loss"] == pytest.approx(nats, rel=1e-12)


def test_a_trial_on_a_text_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("hello world, " * 60)
    chosen = config(
        data={"kind": "text", "path": str(tmp_path / "t.txt"), "length": 6},
        model={"kind": "lstm", "width": 8},
        dropout={"hidden": 0.2},
        loss={"kind": "cross_entropy", "label_smoothing": 0.1},
    )
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts", stop_at=2)
    result = trainer.run(chosen, whole.trial())
    with pytest.raises(TrialStopped):
        trainer.run(chosen, parts.trial())
    parts.stop_at = None
    assert trainer.run(chosen, parts.trial()) == result
    assert trainer.test(chosen, whole.trial()).keys() == {"test_loss", "test_error"}
