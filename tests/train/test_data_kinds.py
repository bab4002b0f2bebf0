from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from hpo.errors import DataError
from hpo.train.config import TrainConfig
from hpo.train.data import Npz, Splits, fingerprint, load

RNG = np.random.default_rng(0)


def read(folder: Path, **data: Any) -> Splits:
    config = TrainConfig.model_validate({"data": data, "model": {"kind": "mlp"}})
    return load(config.data, folder)


@pytest.mark.parametrize(
    ("name", "task", "inputs", "outputs", "rows"),
    [
        ("digits", "classification", (1, 8, 8), 10, 1797),
        ("wine", "classification", (13,), 3, 178),
        ("breast_cancer", "classification", (30,), 2, 569),
        ("iris", "classification", (4,), 3, 150),
        ("diabetes", "regression", (10,), 1, 442),
    ],
)
def test_sklearn(
    tmp_path: Path, name: str, task: str, inputs: tuple[int, ...], outputs: int, rows: int
) -> None:
    splits = read(tmp_path, kind="sklearn", name=name)
    assert (splits.task, splits.inputs, splits.outputs) == (task, inputs, outputs)
    assert len(splits.train) + len(splits.validation) + len(splits.test()) == rows
    assert splits.train.x.dtype == np.float64
    assert abs(splits.train.x.mean()) < 1e-12


def test_a_table_of_numbers_and_text_classes(tmp_path: Path) -> None:
    x = RNG.normal(size=(40, 2))
    names = np.where(np.arange(40) % 2, "odd", "even")
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1] > 0, "id": range(40), "y": names})
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet", index=False)
    arguments = {"target": "y", "features": ["b", "a"], "scaling": "none"}
    for kind in ("csv", "parquet"):
        splits = read(tmp_path, kind=kind, path=f"t.{kind}", **arguments)
        assert splits.task == "classification"
        assert (splits.inputs, splits.outputs) == ((2,), 2)
        rows = np.concatenate([splits.train.x, splits.validation.x, splits.test().x])
        classes = np.concatenate([splits.train.y, splits.validation.y, splits.test().y])
        expected = {(float(b > 0), a, i % 2) for i, (a, b) in enumerate(x)}
        assert {
            (*row, y) for row, y in zip(rows.tolist(), classes.tolist(), strict=True)
        } == expected


@pytest.mark.parametrize(
    ("targets", "task", "expected"),
    [
        (np.arange(60) % 5, "auto", "classification"),
        (np.arange(60), "auto", "regression"),
        (np.arange(60) % 5 * 1.0, "auto", "regression"),
        (np.arange(60) % 5 * 1.0, "classification", "classification"),
        (np.arange(60) % 5, "regression", "regression"),
        (np.arange(60) % 2 == 0, "auto", "classification"),
        (np.array(["a", "b", "c"] * 20), "auto", "classification"),
        (RNG.normal(size=(60, 2)), "auto", "regression"),
    ],
)
def test_the_task_follows_the_targets(
    tmp_path: Path, targets: np.ndarray, task: str, expected: str
) -> None:
    np.savez(tmp_path / "a.npz", x=RNG.normal(size=(60, 2)), y=targets)
    splits = read(tmp_path, kind="npz", path="a.npz", task=task)
    assert splits.task == expected
    assert splits.train.y.dtype == (np.int64 if expected == "classification" else np.float64)


@pytest.mark.parametrize(
    ("shape", "inputs"),
    [((60, 4), (4,)), ((60, 6, 5), (1, 6, 5)), ((60, 3, 6, 5), (3, 6, 5))],
)
def test_images_are_known_by_their_shape(
    tmp_path: Path, shape: tuple[int, ...], inputs: tuple[int, ...]
) -> None:
    x = RNG.integers(0, 255, size=shape).astype(np.uint8)
    x[:, 0] = 0  # borders and columns that never vary are common in images
    np.savez(tmp_path / "a.npz", images=x, labels=np.arange(60) % 2)
    splits = read(tmp_path, kind="npz", path="a.npz", x="images", y="labels")
    assert splits.inputs == inputs


@pytest.mark.parametrize(
    ("shape", "inputs"), [((60, 12), (1, 12)), ((60, 3, 12), (3, 12)), ((60, 1, 12), (1, 12))]
)
def test_series_are_scaled_by_channel(
    tmp_path: Path, shape: tuple[int, ...], inputs: tuple[int, ...]
) -> None:
    x = RNG.normal(size=shape) * np.linspace(1, 5, 12)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(60) % 2)
    splits = read(tmp_path, kind="npz", path="a.npz", series=True)
    assert splits.inputs == inputs
    assert np.allclose(splits.train.x.std(axis=(0, 2)), 1)
    assert splits.train.x[..., -1].std() > 2 * splits.train.x[..., 0].std(), "steps are left alone"


def test_images_are_no_series(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=RNG.normal(size=(60, 1, 4, 4)), y=np.arange(60) % 2)
    with pytest.raises(DataError, match=r"series must be \[N, length\] or \[N, channels, length\]"):
        read(tmp_path, kind="npz", path="a.npz", series=True)


def write_idx(file: Path, array: np.ndarray, kind: int = 0x08, packed: bool = False) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
    data = header + array.astype({0x08: ">u1", 0x0B: ">i2", 0x0E: ">f8"}[kind]).tobytes()
    file.write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("kind", [0x08, 0x0B, 0x0E])
def test_idx_files(tmp_path: Path, kind: int) -> None:
    x, y = RNG.integers(0, 255, size=(60, 6, 5)), np.arange(60) % 3
    write_idx(tmp_path / "images.gz", x, kind, packed=True)
    write_idx(tmp_path / "labels", y)
    splits = read(tmp_path, kind="idx", x="images.gz", y="labels", scaling="none")
    assert (splits.task, splits.inputs, splits.outputs) == ("classification", (1, 6, 5), 3)
    rows = {image.tobytes(): label for image, label in zip(x.astype(float), y, strict=True)}
    for part in (splits.train, splits.validation, splits.test()):
        assert [rows[image.tobytes()] for image in part.x] == part.y.tolist()


def own_test_split(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Files of a kind, the settings that name them, and what is in them."""
    arrays = {
        "x": RNG.integers(0, 255, size=(60, 6, 5)),
        "y": np.arange(60) % 3,
        "x_test": RNG.integers(0, 255, size=(20, 6, 5)),
        "y_test": np.arange(20) % 2,
    }
    if kind == "npz":
        np.savez(
            folder / "a.npz", x=arrays["x"], y=arrays["y"], u=arrays["x_test"], v=arrays["y_test"]
        )
        return {"kind": "npz", "path": "a.npz", "x_test": "u", "y_test": "v"}, arrays
    for name, array in arrays.items():
        write_idx(folder / name, array)
    return {"kind": "idx", **{name: name for name in arrays}}, arrays


@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_a_test_split_of_its_own(tmp_path: Path, kind: str) -> None:
    data, arrays = own_test_split(tmp_path, kind)
    splits = read(tmp_path, **data)
    assert (len(splits.train), len(splits.validation), len(splits.test())) == (48, 12, 20)

    def raw(x: np.ndarray) -> np.ndarray:
        return np.round(x * splits.scale_inputs.scale + splits.scale_inputs.offset)[:, 0]

    assert raw(splits.test().x).tolist() == arrays["x_test"].tolist()
    assert splits.test().y.tolist() == arrays["y_test"].tolist()
    drawn = np.concatenate([raw(splits.train.x), raw(splits.validation.x)])
    assert sorted(drawn.tolist()) == sorted(arrays["x"].tolist())
    assert abs(splits.train.x.mean()) < 1e-12 < abs(splits.test().x.mean())


@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_a_refit_and_the_digests_know_the_own_test_split(tmp_path: Path, kind: str) -> None:
    data, arrays = own_test_split(tmp_path, kind)
    config = TrainConfig.model_validate({"data": data, "model": {"kind": "mlp"}})
    refit = load(config.data, tmp_path, refit=True)
    assert len(refit.train) == 60 and refit.test().y.tolist() == arrays["y_test"].tolist()
    before = fingerprint(config.data, tmp_path)
    if kind == "npz":
        v = arrays["y_test"][::-1]
        np.savez(tmp_path / "a.npz", x=arrays["x"], y=arrays["y"], u=arrays["x_test"], v=v)
    else:
        write_idx(tmp_path / "y_test", arrays["y_test"][::-1])
    after = fingerprint(config.data, tmp_path)
    assert [name for name in before if before[name] != after[name]] == ["test"]


@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_a_test_split_of_its_own_is_whole_and_alone(kind: str) -> None:
    data = {"kind": kind, "path": "a.npz"} if kind == "npz" else {"kind": kind, "x": "x", "y": "y"}

    def refused(words: str, **more: Any) -> None:
        with pytest.raises(ValidationError, match=words):
            TrainConfig.model_validate({"data": {**data, **more}, "model": {"kind": "mlp"}})

    refused("must be given together, got y_test alone; add x_test", y_test="v")
    refused("must be given together, got x_test alone; add y_test", x_test="u")
    both = {"x_test": "u", "y_test": "v"}
    refused("must be left out .* got 0.2; remove it", **both, split={"test": 0.2})
    whole = TrainConfig.model_validate(
        {"data": {**data, **both, "split": {"validation": 0.1}}, "model": {"kind": "mlp"}}
    )
    assert TrainConfig.model_validate(whole.model_dump()) == whole


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "unpack"),
        (lambda data: b"PK" + data, "does not begin as one"),
        (lambda data: data[:-1], "must have 240 bytes .* it has 239"),
        (lambda data: data + b"x", "it has more"),
        (lambda data: data[:4] + b"\xff" * 8, "at most"),
        (lambda data: gzip.compress(data)[:-9], "ended before"),
    ],
)
def test_a_damaged_idx_file_is_told(
    tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    write_idx(tmp_path / "x", RNG.integers(0, 255, size=(60, 4)))
    write_idx(tmp_path / "y", np.arange(60) % 3)
    (tmp_path / "x").write_bytes(damage((tmp_path / "x").read_bytes()))
    with pytest.raises(DataError, match=words):
        read(tmp_path, kind="idx", x="x", y="y")


def test_a_function_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "toy_data.py").write_text(
        "import torch\n"
        "def load():\n"
        "    x = torch.arange(80.0).reshape(40, 2)\n"
        "    return x, (x[:, 0] * 3).tolist()\n"
    )
    splits = read(tmp_path, kind="function", function="toy_data:load")
    assert (splits.task, splits.inputs, splits.outputs) == ("regression", (2,), 1)


def test_paths_may_be_absolute(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=RNG.normal(size=(30, 2)), y=np.arange(30) % 2)
    assert read(Path("/nowhere"), kind="npz", path=str(tmp_path / "a.npz")).outputs == 2


def test_regression_targets_are_standardised_on_the_training_split(tmp_path: Path) -> None:
    y = RNG.normal(50, 10, size=(100, 2))
    np.savez(tmp_path / "a.npz", x=RNG.normal(size=(100, 3)), y=y)
    splits = read(tmp_path, kind="npz", path="a.npz")
    assert splits.outputs == 2
    assert np.allclose(splits.train.y.mean(axis=0), 0) and np.allclose(
        splits.train.y.std(axis=0), 1
    )
    raw = splits.test().y * splits.scale_targets.scale + splits.scale_targets.offset
    assert all(any(np.allclose(row, other) for other in y) for row in raw)


@pytest.mark.parametrize(
    ("package", "data"),
    [
        ("sklearn", {"kind": "sklearn", "name": "iris"}),
        ("pandas", {"kind": "csv", "path": "t.csv", "target": "y"}),
        ("pandas", {"kind": "parquet", "path": "t.csv", "target": "y"}),
        ("pyarrow", {"kind": "parquet", "path": "t.csv", "target": "y"}),
    ],
)
def test_a_package_that_is_not_installed_is_named(
    tmp_path: Path, package: str, data: dict[str, str]
) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    code = f"""
import sys
from pathlib import Path
sys.modules[{package!r}] = None  # as if it were not there
from hpo.errors import DataError
from hpo.train.config import TrainConfig
from hpo.train.data import load
try:
    load(TrainConfig(data={data!r}, model={{"kind": "mlp"}}).data, Path.cwd())
except DataError as error:
    print(error)
"""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert package in done.stdout and "pip install" in done.stdout


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "t.npz"
    data = Npz(path="t.npz")
    rng = np.random.default_rng(0)
    np.savez(file, x=rng.normal(size=(60, 2)), y=np.arange(60) % 2)
    first = load(data, tmp_path)
    assert load(data, tmp_path) is first
    np.savez(file, x=rng.normal(size=(80, 2)), y=np.arange(80) % 2)
    changed = load(data, tmp_path)
    assert len(changed.train) > len(first.train)
