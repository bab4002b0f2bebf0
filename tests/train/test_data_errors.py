"""Every way a data set can be unusable has a message with the place and a remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpo.errors import DataError
from hpo.train.config import TrainConfig
from hpo.train.data import load

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
Y = np.arange(30) % 3


def refusal(folder: Path, **data: Any) -> DataError:
    config = TrainConfig.model_validate({"data": data, "model": {"kind": "mlp"}})
    with pytest.raises(DataError) as caught:
        load(config.data, folder)
    assert caught.value.exit_code == 2
    assert caught.value.hint, "every refusal has a remedy"
    return caught.value


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": Y} | columns)


Frames = dict[str, tuple[pd.DataFrame, str, str]]
TABLES: Frames = {
    "target missing": (
        table().rename(columns={"kind": "kinds"}),
        "there is no column 'kind'",
        "did you mean 'kinds'",
    ),
    "NaN": (
        table(b=[1.0, np.nan, np.nan, *range(27)]),
        r"2 NaN or infinity in 2 rows, the first in column 'b', row 1",
        "fill in or drop",
    ),
    "infinite": (table(a=[np.inf, *range(29)]), "first in column 'a', row 0", "fill in"),
    "constant": (table(b=1.0), "columns must vary, 'b' never do", "data.features"),
    "text": (
        table(b=["x", *map(str, range(29))]),
        "columns must be numbers, 'b' has 'x' in row 0",
        "data.features",
    ),
    "one class": (table(kind=1), "at least two classes, every row is 1", "all classes"),
    "rare class": (
        table(kind=[0] * 14 + [1] * 14 + [2] * 2),
        r"needs 3 rows or more, .* fewer have 2 \(2\)",
        "merge rare classes",
    ),
    "target gaps": (
        table(kind=[None, *Y[1:]]),
        "every row needs a target, 1 rows .* the first is row 0",
        "drop those rows",
    ),
    "no rows": (table().iloc[:0], "there must be rows", "written completely"),
    "no features": (table()[["kind"]], "columns besides the target", "right one"),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("case", TABLES)
def test_tables(tmp_path: Path, case: str, kind: str) -> None:
    frame, message, hint = TABLES[case]
    if kind == "csv":
        frame.to_csv(tmp_path / "t.csv", index=False)
    else:
        frame.to_parquet(tmp_path / "t.parquet", index=False)
    if case == "no rows" and kind == "csv":  # columns without values have no type
        message = "there must be rows|columns must be numbers"
        hint = "written completely|data.features"
    error = refusal(tmp_path, kind=kind, path=f"t.{kind}", target="kind")
    assert str(tmp_path / f"t.{kind}") in error.message
    assert re.search(message, error.message), error
    assert re.search(hint, error.hint), error


def test_a_feature_that_is_missing(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "t.csv", index=False)
    error = refusal(tmp_path, kind="csv", path="t.csv", target="kind", features=["a", "bb"])
    assert "no column 'bb'" in error.message and "'b'" in error.hint


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_a_missing_file_names_the_nearest(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"flowers.{kind}").touch()
    columns = {} if kind == "npz" else {"target": "y"}
    error = refusal(tmp_path, kind=kind, path=f"flower.{kind}", **columns)
    assert "there is no such file" in error.message
    assert f"flowers.{kind}" in error.hint
    error = refusal(tmp_path, kind=kind, path=f"nowhere/flower.{kind}", **columns)
    assert "no folder" in error.hint
    error = refusal(tmp_path, kind=kind, path=".", **columns)
    assert "this is a folder" in error.message


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe not a data file \x80"])
def test_an_unreadable_file(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    columns = {} if kind == "npz" else {"target": "y"}
    error = refusal(tmp_path, kind=kind, path="f", **columns)
    assert "cannot be read" in error.message and str(tmp_path / "f") in error.message


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"inputs": X, "y": Y}, "there is no array 'x'"),
    "lengths": ({"x": X, "y": Y[:-1]}, "equally many rows, got 30 and 29"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, "there must be rows"),
    "one dimension": ({"x": X[:, 0], "y": Y}, r"got shape \(30,\)"),
    "five dimensions": ({"x": np.ones((30, 1, 1, 1, 1)), "y": Y}, "got shape"),
    "text": ({"x": X.astype(str), "y": Y}, "x must be numbers"),
    "complex targets": ({"x": X, "y": Y * 1j}, "must be numbers or text"),
    "NaN": ({"x": np.where(X == X[4, 2], np.nan, X), "y": Y}, "x column 2, row 4"),
    "NaN target": ({"x": X, "y": np.where(Y == 2, np.nan, Y)}, "10 NaN .* first in y, row 2"),
    "all the same": ({"x": np.ones((30, 3)), "y": Y}, "x must vary, every value is 1"),
    "one class": ({"x": X, "y": Y * 0}, "at least two classes"),
    "constant target": ({"x": X, "y": Y * 0.0}, "y must vary"),
    "one-hot": ({"x": X, "y": np.eye(3, dtype=int)[Y], "task": "classification"}, "one per row"),
    "text to regress": ({"x": X, "y": Y.astype(str), "task": "regression"}, "needs numbers in y"),
    "deep targets": ({"x": X, "y": np.ones((30, 2, 2)), "task": "regression"}, r"\[N\] or \[N, D"),
    "too few rows": ({"x": X[:2], "y": X[:2, 0]}, "each split needs rows, 2 rows make"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(tmp_path: Path, case: str) -> None:
    arrays, message = ARRAYS[case]
    arrays = dict(arrays)
    task = arrays.pop("task", "auto")
    np.savez(tmp_path / "a.npz", **arrays)
    error = refusal(tmp_path, kind="npz", path="a.npz", task=task)
    assert re.search(message, error.message), error


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}, []], dtype=object), y=Y)
    assert "cannot be read" in refusal(tmp_path, kind="npz", path="a.npz").message


def test_a_single_array_is_not_a_data_set(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    error = refusal(tmp_path, kind="npz", path="a.npy")
    assert "single array" in error.message


def test_a_class_that_training_never_sees(tmp_path: Path) -> None:
    classes = np.array([0] * 100 + [1] * 3)
    np.savez(tmp_path / "a.npz", x=RNG.normal(size=(103, 2)), y=classes)
    error = refusal(tmp_path, kind="npz", path="a.npz", split={"validation": 0.45, "test": 0.5})
    assert "must have every class, it has 1 of 2" in error.message


TESTS: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"x_tset": X}, "test split: there is no array 'x_test'"),
    "lengths": (
        {"x_test": X[1:]},
        "test split: x and y must have equally many rows, got 29 and 30",
    ),
    "no rows": ({"x_test": X[:0], "y_test": Y[:0]}, "test split: there must be rows"),
    "NaN": ({"x_test": np.where(X == X[4, 2], np.nan, X)}, "test split: .* x column 2, row 4"),
    "features": ({"x_test": X[:, :2]}, r"x of the test split must be as .* \(3,\) .* got \(2,\)"),
    "units": ({"x_test": (9 * X).astype(int)}, "and float64, got .* and int64"),
    "text": ({"y_test": Y.astype(str)}, "y of the test split must be as"),
    "unseen class": ({"y_test": Y + 1}, "must have every class, it has 3 of 4 in 24 rows, not 3"),
    "rare unseen class": ({"y_test": np.where(np.arange(30), Y, 7)}, r"fewer have 7 \(1\)"),
}


@pytest.mark.parametrize("case", TESTS)
def test_a_test_split_that_does_not_fit(tmp_path: Path, case: str) -> None:
    arrays, message = TESTS[case]
    more = {} if case == "key" else {"x_test": X}
    np.savez(tmp_path / "a.npz", **{"x": X, "y": Y, "y_test": Y, **more, **arrays})
    error = refusal(tmp_path, kind="npz", path="a.npz", x_test="x_test", y_test="y_test")
    assert re.search(message, error.message), error


FUNCTIONS: dict[str, tuple[str, str]] = {
    "missing_module:load": ("", "no module 'missing_module'"),
    "mine:lod": ("def load(): return 1", "has no 'lod'"),
    "mine:load": ("import nowhere_installed", "needs 'nowhere_installed'"),
    "mine:number": ("number = 3", "must be a function, got int"),
    "mine:raises": ("def raises(): raise OSError('disk gone')", "failed: OSError: disk gone"),
    "mine:needs": ("def needs(path): return path", "failed: TypeError"),
    "mine:three": ("def three(): return 1, 2, 3", r"must return \(x, y\), got tuple of 3"),
    "mine:none": ("def none(): pass", r"must return \(x, y\), got NoneType"),
    "mine:ragged": ("def ragged(): return [[1], [1, 2]], [0, 1]", "must return two arrays"),
    "mine:words": ("def words(): return 'inputs', 'targets'", "x must be"),
}


@pytest.mark.parametrize("reference", FUNCTIONS)
def test_functions(tmp_path: Path, reference: str) -> None:
    code, message = FUNCTIONS[reference]
    if code:
        (tmp_path / "mine.py").write_text(code)
    error = refusal(tmp_path, kind="function", function=reference)
    assert re.search(message, error.message), error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y,y\n1,0,0\n2,1,1\n3,0,0\n4,1,1\n", "column names must differ, there are 2 'y'"),
        (",a,y\n0,1,0\n1,2,1\n2,3,0\n3,4,1\n", "every column needs a name, column 0"),
        ("a,y\n1,2,0\n2,3,1\n3,4,0\n4,5,1\n", "the header has 2 columns, the rows have 3"),
    ],
)
def test_columns_that_would_shift_or_hold_the_target(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert message in refusal(tmp_path, kind="csv", path="t.csv", target="y").message


@pytest.mark.parametrize("features", [["a", "y"], ["a", "a"]])
def test_the_target_is_no_feature(tmp_path: Path, features: list[str]) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n3,0\n4,1\n")
    told = refusal(tmp_path, kind="csv", path="t.csv", target="y", features=features)
    assert "differ from each other and from the target" in told.message
