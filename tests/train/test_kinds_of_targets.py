"""Several targets of which some are classes and some numbers."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from sklearn.datasets import load_diabetes, load_wine
from train_helpers import Run, config, outputs_of

import hpo
from hpo.errors import DataError, InputError
from hpo.home import Home
from hpo.train.builtin import trainer
from hpo.train.data import Splits, load
from hpo.train.evaluation import evaluate
from hpo.train.lanes import bind, fusion_key, knobs
from hpo.train.layout import Layout
from hpo.train.losses import MultitaskLoss, default_loss
from hpo.train.models import Multitask
from hpo.train.problem import Problem, assemble
from hpo.train.task import Target, split

CULTIVARS = ("barolo", "grignolino", "barbera")
FEATURES = ["malic_acid", "ash", "flavanoids", "hue", "proline"]


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wine.csv: a class in words, a number, and a class in whole numbers."""
    folder = tmp_path_factory.mktemp("wine")
    table = load_wine(as_frame=True)
    frame = table.data[FEATURES].copy()
    frame["cultivar"] = [CULTIVARS[k] for k in table.target]
    frame["alcohol"] = table.data["alcohol"]
    frame["level"] = pd.qcut(table.data["magnesium"], 3, labels=[1, 2, 10]).astype(int)
    frame.to_csv(folder / "wine.csv", index=False)
    return folder


def several(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "csv",
        "path": "wine.csv",
        "target": ["cultivar", "alcohol", "level"],
        "classes": ["level"],
        **changes,
    }


def case(**changes: Any) -> Any:
    small = {
        "data": several(),
        "model": {"kind": "multitask", "widths": [7], "head_widths": [5]},
        "precision": "float64",
    }
    return config(**small | changes)


TARGETS = (
    Target("cultivar", tuple(sorted(CULTIVARS))),
    Target("alcohol"),
    Target("level", (1, 2, 10)),
)


def test_classes_are_probabilities_and_numbers_standardised(wine: Path) -> None:
    splits = load(case().data, wine)
    assert (splits.task, splits.outputs, splits.targets) == ("multitask", 7, TARGETS)
    cultivar, alcohol, level = split(splits.targets, torch.from_numpy(splits.train.y))
    for classes in (cultivar, level):
        assert set(classes.unique().tolist()) == {0.0, 1.0} and (classes.sum(1) == 1).all()
    assert alcohol.mean().abs() < 1e-12
    assert alcohol.std(correction=0).item() == pytest.approx(1, rel=1e-12)


def rows_as_written(splits: Splits) -> set[tuple[Any, ...]]:
    found = set()
    for part in (splits.train, splits.validation, splits.test()):
        y = torch.from_numpy(part.y * splits.scale_targets.scale + splits.scale_targets.offset)
        cultivar, alcohol, level = split(splits.targets, y)
        for k in range(len(y)):
            found.add(
                (
                    TARGETS[0].classes[cultivar[k].argmax()],
                    round(alcohol[k].item(), 6),
                    TARGETS[2].classes[level[k].argmax()],
                )
            )
    return found


def test_rows_keep_their_targets(wine: Path) -> None:
    table = pd.read_csv(wine / "wine.csv")
    written = {(c, round(a, 6), n) for c, a, n in table[list(several()["target"])].to_numpy()}
    assert rows_as_written(load(case().data, wine)) == written


def test_the_main_classes_are_spread_over_the_splits(wine: Path) -> None:
    alone = several(target="cultivar", classes=[], features=FEATURES)
    one, all_ = load(config(data=alone).data, wine), load(case().data, wine)
    assert np.array_equal(one.train.x, all_.train.x)
    assert np.array_equal(one.train.y, all_.train.y[:, :3].argmax(1))


def sources(folder: Path) -> dict[str, dict[str, Any]]:
    """The table in every other form that takes several targets."""
    table = pd.read_csv(folder / "wine.csv")
    table.to_parquet(folder / "wine.parquet", index=False)
    x, named = table[FEATURES].to_numpy(), {name: table[name] for name in several()["target"]}
    arrays = {name: column.to_numpy(dtype=None) for name, column in named.items()}
    arrays["cultivar"] = arrays["cultivar"].astype(str)
    np.savez(folder / "wine.npz", x=x, **arrays)
    (folder / "cellar.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        f"    with np.load({str(folder / 'wine.npz')!r}) as file:\n"
        "        return file['x'], {k: file[k] for k in ('cultivar', 'alcohol', 'level')}\n"
    )
    return {
        "parquet": several(kind="parquet", path="wine.parquet"),
        "npz": {
            "kind": "npz",
            "path": "wine.npz",
            "y": list(arrays),
            "classes": ["level"],
        },
        "function": {"kind": "function", "function": "cellar:load", "classes": ["level"]},
    }


@pytest.mark.parametrize("kind", ["parquet", "npz", "function"])
def test_all_sources_give_the_same(wine: Path, kind: str) -> None:
    expected, found = load(case().data, wine), load(case(data=sources(wine)[kind]).data, wine)
    assert found.targets == expected.targets
    assert np.array_equal(found.train.y, expected.train.y)
    assert np.array_equal(found.validation.x, expected.validation.x)


def test_targets_in_files_of_their_own_or_in_one_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, kind, size = rng.integers(256, size=(60, 4, 4)), np.arange(60) % 3, np.arange(60)
    for name, array in (("images", images), ("kind", kind), ("size", size)):
        header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
        (tmp_path / name).write_bytes(header + array.astype(np.uint8).tobytes())
    rows = np.array(list(zip(kind, size, strict=True)), [("kind", "i8"), ("size", "i8")])
    np.savez(tmp_path / "d.npz", x=images, y=rows)
    files = {"kind": "idx", "x": "images", "y": ["kind", "size"], "classes": ["kind"]}
    array = {"kind": "npz", "path": "d.npz", "classes": ["kind"]}
    for data in (files, array):
        splits = load(config(data=data).data, tmp_path)
        assert splits.targets == (Target("kind", (0, 1, 2)), Target("size"))
        y = splits.train.y * splits.scale_targets.scale + splits.scale_targets.offset
        assert np.array_equal(y[:, :3].argmax(1), y[:, 3].round().astype(int) % 3)


def test_a_test_split_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = np.array(["a", "bb", "ccc"])[np.arange(60) % 3]
    np.savez(
        tmp_path / "d.npz",
        x=rng.normal(size=(60, 2)),
        kind=kinds,
        size=rng.normal(size=60),
        x_test=rng.normal(size=(6, 2)),
        kind_test=kinds[:6],
        size_test=np.arange(6.0),
    )
    data = {"kind": "npz", "path": "d.npz", "y": ["kind", "size"], "x_test": "x_test"}
    own = config(data=data | {"y_test": ["kind_test", "size_test"]})
    splits = load(own.data, tmp_path)
    raw = splits.test().y * splits.scale_targets.scale + splits.scale_targets.offset
    assert raw[:, 3] == pytest.approx(np.arange(6), abs=1e-12)
    assert raw[:, :3].argmax(1).tolist() == [0, 1, 2] * 2
    swapped = config(data=data | {"y_test": ["size_test", "kind_test"]})
    with pytest.raises(DataError, match="y of the test split must be as in"):
        load(swapped.data, tmp_path)
    with pytest.raises(ValidationError, match="y_test must have as many targets as y"):
        config(data=data | {"y_test": "kind_test"})


def test_text_and_booleans_are_classes_and_other_numbers_are_not(tmp_path: Path) -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    table["count"], table["yes"] = range(40), np.arange(40) % 2 == 0
    table.to_csv(tmp_path / "t.csv", index=False)
    data = {"kind": "csv", "path": "t.csv", "target": ["count", "yes"]}
    assert load(config(data=data).data, tmp_path).targets == (
        Target("count"),
        Target("yes", (False, True)),
    )
    numbers = load(config(data={**data, "task": "regression"}).data, tmp_path)
    assert (numbers.task, numbers.targets, numbers.outputs) == ("regression", (), 2)
    alike = {**data, "target": ["a", "count"], "task": "multitask"}
    assert load(config(data=alike).data, tmp_path).targets == (Target("a"), Target("count"))


# ---- the heads and the loss ----

MODEL = Multitask(widths=(7,), head_widths=(5,), activation="tanh").bound(Path(), (6,), 7, TARGETS)
LAYOUT = Layout(MODEL.shapes((6,), 7))
GENERATOR = torch.Generator().manual_seed(0)
VECTOR = torch.randn(LAYOUT.size, generator=GENERATOR, dtype=torch.float64)
X = torch.randn(8, 6, generator=GENERATOR, dtype=torch.float64)
# Classes of mixed rows, as mixup leaves them.
Y = torch.cat(
    [
        torch.softmax(torch.randn(8, 3, generator=GENERATOR, dtype=torch.float64), 1),
        torch.randn(8, 1, generator=GENERATOR, dtype=torch.float64),
        torch.softmax(torch.randn(8, 3, generator=GENERATOR, dtype=torch.float64), 1),
    ],
    dim=1,
)


def test_a_head_has_the_outputs_of_its_target() -> None:
    assert [LAYOUT.shapes[f"heads.{t}.1.weight"] for t in range(3)] == [(3, 5), (1, 5), (3, 5)]
    assert outputs_of(MODEL, LAYOUT.split(VECTOR), X).shape == (8, 7)


def stock(outputs: torch.Tensor, smoothing: float = 0.0) -> list[torch.Tensor]:
    """The losses of the three targets by torch's own functions."""
    return [
        F.cross_entropy(outputs[:, :3], Y[:, :3], label_smoothing=smoothing),
        F.mse_loss(outputs[:, 3], Y[:, 3]),
        F.cross_entropy(outputs[:, 4:], Y[:, 4:], label_smoothing=smoothing),
    ]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_equals_stock_torch(smoothing: float) -> None:
    outputs = outputs_of(MODEL, LAYOUT.split(VECTOR), X)
    settings = MultitaskLoss(auxiliary=0.3, weights={"level": 2.0}, label_smoothing=smoothing)
    loss = settings.bound(TARGETS)
    main, alcohol, level = stock(outputs, smoothing)
    expected = main + 0.3 * alcohol + 2.0 * level
    assert loss.training(outputs, Y).item() == pytest.approx(expected.item(), rel=1e-12)
    assert loss.evaluation(outputs, Y).item() == pytest.approx(stock(outputs)[0].item(), rel=1e-12)


def gradient(**settings: Any) -> dict[str, torch.Tensor]:
    leaf = VECTOR.clone().requires_grad_()
    outputs = outputs_of(MODEL, LAYOUT.split(leaf), X)
    value = MultitaskLoss(**settings).bound(TARGETS).training(outputs, Y)
    return LAYOUT.split(torch.autograd.grad(value, leaf)[0])


def test_a_head_learns_from_its_own_target_alone() -> None:
    found = gradient(auxiliary=0.25, weights={"level": 3.0})
    leaf = VECTOR.clone().requires_grad_()
    losses = stock(outputs_of(MODEL, LAYOUT.split(leaf), X))
    alone = [LAYOUT.split(torch.autograd.grad(loss, leaf, retain_graph=True)[0]) for loss in losses]
    weights = (1.0, 0.25, 3.0)
    for name, value in found.items():
        if name.startswith("heads."):
            t = int(name.split(".")[1])
            expected = weights[t] * alone[t][name]
            assert all((alone[other][name] == 0).all() for other in range(3) if other != t)
        else:
            expected = sum(weight * own[name] for weight, own in zip(weights, alone, strict=True))
        assert expected.abs().max() > 0, name
        assert torch.allclose(value, expected, rtol=1e-12, atol=1e-15), name


def trained(folder: Path, data: Path, chosen: Any) -> dict[str, float]:
    run = Run(data, seed=3)
    trial = run.trial()
    trial.checkpoint_dir = folder
    folder.mkdir()
    result = trainer.run(chosen, trial)
    assert result is not None
    return dict(result)


def test_without_weight_it_is_the_main_target_alone(wine: Path, tmp_path: Path) -> None:
    """First weights are drawn layer by layer, so trunk and main head begin as an mlp does."""
    weightless = case(
        model={"kind": "multitask", "widths": [7], "head_widths": []},
        loss={"kind": "multitask", "auxiliary": 0.0},
    )
    single = case(
        data=several(target="cultivar", classes=[], features=FEATURES),
        model={"kind": "mlp", "widths": [7]},
    )
    found = trained(tmp_path / "several", wine, weightless)
    alone = trained(tmp_path / "one", wine, single)
    assert {name: found[name] for name in alone} == pytest.approx(alone, rel=1e-12)
    helped = weightless.model_copy(update={"loss": MultitaskLoss(auxiliary=1.0)})
    other = trained(tmp_path / "helped", wine, helped)
    assert other["val_loss"] != pytest.approx(alone["val_loss"], rel=1e-3)


# ---- what is reported ----


@pytest.fixture
def problem(wine: Path) -> Problem:
    return assemble(case(), wine)


def test_each_target_is_scored_in_its_own_way(problem: Problem, wine: Path) -> None:
    params = problem.initial_params(0)
    rows = problem.rows(problem.splits.validation)
    found = evaluate(problem, params, {}, rows)
    outputs = outputs_of(problem.config.model, problem.layout.split(params), rows.x)
    alcohol = pd.read_csv(wine / "wine.csv")["alcohol"].to_numpy()
    unit = problem.splits.scale_targets.scale[3]
    assert 0.8 < unit / alcohol.std() < 1.2
    assert found == pytest.approx(
        {
            "loss": F.cross_entropy(outputs[:, :3], rows.y[:, :3]).item(),
            "error": (outputs[:, :3].argmax(1) != rows.y[:, :3].argmax(1)).double().mean().item(),
            "alcohol_rmse": unit * (outputs[:, 3] - rows.y[:, 3]).square().mean().sqrt().item(),
            "level_error": (outputs[:, 4:].argmax(1) != rows.y[:, 4:].argmax(1))
            .double()
            .mean()
            .item(),
        },
        rel=1e-12,
    )


def test_a_number_may_be_the_main_target(tmp_path: Path) -> None:
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame["sex"] = frame["sex"].astype(int)
    frame.to_csv(tmp_path / "diabetes.csv", index=False)
    data = {
        "kind": "csv",
        "path": "diabetes.csv",
        "target": ["target", "sex", "bmi"],
        "classes": ["sex"],
    }
    chosen = case(data=data)
    result = trained(tmp_path / "several", tmp_path, chosen)
    assert result.keys() == {
        *("train_loss", "val_loss", "val_rmse", "val_sex_error", "val_bmi_rmse"),
        *("best_epoch", "epochs"),
    }
    spread = frame["target"].std()
    assert 0.5 * spread < result["val_rmse"] < 1.1 * spread
    trial = Run(tmp_path, seed=3).trial()
    trial.checkpoint_dir = tmp_path / "several"
    tested = trainer.test(chosen, trial)
    assert tested.keys() == {"test_loss", "test_rmse", "test_sex_error", "test_bmi_rmse"}


def test_the_first_may_be_all_that_is_scored(wine: Path) -> None:
    chosen = case(data=several(scored="first"))
    first = assemble(chosen, wine)
    found = evaluate(first, first.initial_params(0), {}, first.rows(first.splits.validation))
    assert found.keys() == {"loss", "error"}


def test_metrics_are_for_the_data_to_say() -> None:
    assert trainer.metrics(case()) is None
    assert trainer.metrics(case(data={"kind": "npz", "path": "x"}, loss={"kind": "multitask"})) is (
        None
    )
    assert isinstance(default_loss("multitask"), MultitaskLoss)


@pytest.mark.parametrize("model", [{"kind": "mlp", "widths": [6]}, {"kind": "gru", "width": 4}])
def test_other_models_share_all_but_the_last_layer(
    wine: Path, tmp_path: Path, model: dict[str, Any]
) -> None:
    result = trained(tmp_path / "ck", wine, case(model=model))
    assert {"val_error", "val_alcohol_rmse", "val_level_error"} < result.keys()


# ---- lanes ----


def test_each_weight_is_a_knob_whatever_its_name() -> None:
    chosen = case(loss={"kind": "multitask", "weights": {"petal.length": 0.5, "level": 1.0}})
    found = knobs(chosen)
    assert found["loss.weights.petal.length"] == 0.5 and found["loss.weights.level"] == 1.0
    value = torch.tensor(0.25)
    bound = bind(chosen, {"loss.weights.petal.length": value})
    assert bound.loss.weights == {"petal.length": value, "level": 1.0}
    assert chosen.loss.weights["petal.length"] == 0.5, "the original is untouched"
    other = case(
        loss={
            "kind": "multitask",
            "auxiliary": 3.0,
            "weights": {"petal.length": 2.0, "level": 0.0},
        }
    )
    assert fusion_key(other) == fusion_key(chosen)
    fewer = case(loss={"kind": "multitask", "weights": {"level": 1.0}})
    assert fusion_key(fewer) != fusion_key(chosen)


# ---- a study ----


def test_a_study_of_it_leaves_a_model_that_speaks_the_datas_words(
    wine: Path, tmp_path: Path
) -> None:
    study = {
        "name": "wine_several",
        "trainable": "builtin",
        "space": {
            "data": several(path=str(wine / "wine.csv")),
            "model": {"kind": "multitask", "widths": [16], "head_widths": [8]},
            "epochs": 30,
            "batch_lr": {"batch_size": 16, "base_lr": 0.05, "base_batch_size": 16},
            "loss": {
                "kind": "multitask",
                "auxiliary": {"low": 0.01, "high": 1.0, "log": True},
                "weights": {"level": {"low": 0.01, "high": 1.0, "log": True}},
            },
        },
        "objective": {"metric": "val_error"},
        "search": {"sampler": "random", "trials": 3, "seed": 0},
        "resources": {"pack": 3},
        "tracking": {"uri": "none"},
    }
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps(study))
    home = Home(tmp_path / "home")
    hpo.run(path, inline=True, home=home)
    best = hpo.load_best("wine_several", home)
    assert 0.01 <= best.loss.weights["level"] <= 1.0
    model = hpo.load_model("wine_several", home)
    table = pd.read_csv(wine / "wine.csv")
    told = model.decode(model(torch.from_numpy(table[FEATURES].to_numpy())))
    assert told.keys() == {"cultivar", "alcohol", "level"}
    right = (table["cultivar"] == told["cultivar"]).mean()
    assert right > 0.8, "a constant has 0.4"
    assert set(told["level"]) <= {1, 2, 10}
    error = np.abs(np.array(told["alcohol"]) - table["alcohol"]).mean()
    assert error < np.abs(table["alcohol"] - table["alcohol"].mean()).mean()


# ---- what is refused ----


def broken(folder: Path) -> None:
    table = pd.read_csv(folder / "wine.csv")
    table["same"] = "x"
    table["rare"] = ["a"] * 3 + ["b"] * (len(table) - 3)
    table["still"] = 1.0
    table.to_csv(folder / "broken.csv", index=False)


@pytest.mark.parametrize(
    ("changes", "error", "message", "hint"),
    [
        (
            {"data": several(classes=["levle"])},
            DataError,
            "data.classes must name targets, 'levle' is none",
            "did you mean 'level'?",
        ),
        (
            {"data": several(target="cultivar", classes=["cultivar"])},
            DataError,
            "are for several targets, each with a name, got column 'cultivar'",
            "data.task",
        ),
        (
            {"data": several(target=["cultivar", "same"], classes=[])},
            DataError,
            "target 'same' must have at least two classes, every row is x",
            "all classes",
        ),
        (
            {"data": several(target=["cultivar", "still"], classes=[])},
            DataError,
            "target 'still' must vary",
            "right one",
        ),
        (
            {
                "data": several(
                    target=["cultivar", "rare"],
                    classes=[],
                    split={"validation": 0.45, "test": 0.5},
                )
            },
            DataError,
            "the training split must have every class, it has 1 of 2 in .* rows, not a of target "
            "'rare'",
            "more rows of the rare classes",
        ),
        (
            {"data": several(target=["alcohol", "cultivar"], classes=[], task="classification")},
            DataError,
            "classes must be one per row, got 2 targets: alcohol, cultivar",
            "leave data.task out",
        ),
        (
            {"loss": {"kind": "multitask", "weights": {"alcohl": 0.5}}},
            InputError,
            "loss.weights must name targets beside the main one, 'cultivar'.* got 'alcohl'",
            "did you mean 'alcohol'?",
        ),
        (
            {"loss": {"kind": "multitask", "weights": {"cultivar": 0.5}}},
            InputError,
            "loss.weights must name targets beside the main one, 'cultivar', whose weight is 1",
            "they are: alcohol, level",
        ),
        (
            {
                "data": several(target=["alcohol", "level"], classes=[], task="multitask"),
                "loss": {"kind": "multitask", "label_smoothing": 0.1},
            },
            InputError,
            "loss.label_smoothing is for classes, got 0.1 with numbers alone",
            "data.classes",
        ),
        ({"loss": {"kind": "mse"}}, InputError, "the data are for multitask", "leave loss out"),
        (
            {"data": several(target="cultivar", classes=[])},
            InputError,
            "model multitask is for multitask, regression, the data are for classification",
            "use model kind mlp",
        ),
        ({"model": {"kind": "diagonal"}}, InputError, "the data are for multitask", "multitask"),
    ],
)
def test_what_cannot_be(
    wine: Path, changes: dict[str, Any], error: type[InputError], message: str, hint: str
) -> None:
    broken(wine)
    data = changes.get("data", several()) | {"path": "broken.csv"}
    data.setdefault("features", FEATURES)
    with pytest.raises(error, match=message) as caught:
        trainer.check(case(**changes | {"data": data}), wine)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (several(task="regression"), "classes is for several targets of different kinds"),
        (several(targets="inputs"), "classes is for several targets .* with targets: inputs"),
        ({"kind": "npz", "path": "x", "y": ["a", "a"]}, "targets must differ from each other"),
        ({"kind": "npz", "path": "x", "y": []}, "y"),
    ],
)
def test_what_is_refused_before_anything_is_read(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        case(data=data)


@pytest.mark.parametrize("weight", [-0.1, 101, "nan"])
def test_weights_have_bounds(weight: Any) -> None:
    with pytest.raises(ValidationError):
        case(loss={"kind": "multitask", "weights": {"level": weight}})


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("{'a': [1.0, 2.0, 3.0], 'b': [[1, 2]] * 3}", r"each must be \[N\], got a \(3,\), b"),
        ("{'a': [1.0, 2.0, 3.0], 'b': ['x', 'y']}", r"each must be \[N\], got a \(3,\), b \(2,\)"),
        ("{'a': ['x', 'y', None], 'b': [1, 2, 3]}", "target 'a' must be numbers or text, got obj"),
        ("{'a': ['x', 'y', 'y'], 'b': [1, 2, float('nan')]}", "first in target 'b', row 2"),
    ],
)
def test_a_dict_of_targets_that_does_not_fit(tmp_path: Path, y: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(f"def load(): return [[1.0], [2.0], [3.0]], {y}")
    with pytest.raises(DataError, match=message):
        load(config(data={"kind": "function", "function": "mine:load"}).data, tmp_path)
