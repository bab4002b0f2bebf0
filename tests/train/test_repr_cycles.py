"""RePr: which filters are away and when, and how they come back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from train_helpers import config

from hpo.errors import InputError
from hpo.functional import repr_scores, repr_select
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.drivers import single
from hpo.train.models.base import Kind
from hpo.train.problem import Problem, assemble
from hpo.train.progress import Progress

NAME, SEED, EPOCHS = "protocol.repr", 3, 6
CYCLES = {"fraction": 0.4, "full_epochs": 2, "sub_epochs": 1, "cycles": 1}
DROPS, RETURNS = 2, 3

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"model": {"kind": "mlp", "widths": [9, 7]}},
    "batch_norm": {"model": {"kind": "mlp", "widths": [9, 7], "normalization": {"kind": "batch"}}},
    "cnn": {"data": {"kind": "sklearn", "name": "digits"}, "model": {"kind": "cnn"}},
    "resnet": {
        "data": {"kind": "sklearn", "name": "digits"},
        "model": {"kind": "resnet", "channels": [6, 8], "normalization": {"kind": "batch"}},
    },
}


def case(part: dict[str, Any] | None = CYCLES, **changes: Any) -> TrainConfig:
    base: dict[str, Any] = {
        "precision": "float64",
        "epochs": EPOCHS,
        "batch_lr": {"batch_size": 64, "base_lr": 0.2},
        "optimizer": {"kind": "sgd", "momentum": 0.9},
        "regularization": {"weight_decay": {"strength": 0.01}},
        "protocol": {"repr": part},
    }
    return config(**base | changes)


def started(folder: Path, model: str) -> tuple[Problem, single.Training, list[Progress]]:
    """A trial and where it stands until the filters are about to go."""
    problem = assemble(case(**MODELS[model]), folder)
    training = single.Training(problem, SEED)
    path = [training.start()]
    for _ in range(DROPS):
        path.append(training.epoch(path[-1]))
    return problem, training, path


def chosen(problem: Problem, params: torch.Tensor) -> dict[str, torch.Tensor]:
    named = problem.layout.split(params)
    layers = [f"{layer}.weight" for layer in problem.layout.feeds]
    return repr_select(repr_scores({name: named[name] for name in layers}), 0.4, 0.5)


@pytest.mark.parametrize("model", MODELS)
def test_outputs_of_dropped_filters_are_masked(tmp_path: Path, model: str) -> None:
    problem, training, path = started(tmp_path, model)
    gone = chosen(problem, path[-1].params)
    assert sum(map(len, gone.values())) > 0
    sub = training.epoch(path[-1])
    named, layout = problem.layout.split(sub.params), problem.layout
    for name, rows in gone.items():
        layer = name.removesuffix(".weight")
        assert not named[name][rows].any(), "with momentum and decay"
        assert named[name].flatten(1).any(1).sum() == len(named[name]) - len(rows)
        to = named[f"{layout.feeds[layer].to}.weight"]
        assert not to.view(len(to), len(named[name]), -1)[:, rows].any()

    def without(h: torch.Tensor, site: str, kind: Kind = "activation") -> torch.Tensor:
        name = {feed.place: f"{layer}.weight" for layer, feed in layout.feeds.items()}.get(site)
        if kind != "activation" or name is None:
            return h
        if name not in gone:
            return h
        h = h.clone()
        h[:, gone[name]] = torch.randn_like(h[:, gone[name]])
        return h

    # Whatever the filters gave, nobody would see it.
    x = problem.rows(problem.splits.train).x[:20]
    with torch.no_grad():
        shown, _ = problem.config.model.apply(
            named, sub.state["model"], x, lambda h, site, kind="activation": h, training=False
        )
        same, _ = problem.config.model.apply(named, sub.state["model"], x, without, training=False)
    assert torch.equal(shown, same)


@pytest.mark.parametrize("model", MODELS)
def test_filters_begin_again_with_all_that_belongs_to_them(tmp_path: Path, model: str) -> None:
    problem, training, path = started(tmp_path, model)
    layout, before = problem.layout, path[-1].params
    gone = chosen(problem, before)
    sub = training.epoch(path[-1])
    params, state = training._step.before_epoch(
        sub.params, sub.state, training._knobs, SEED, RETURNS, EPOCHS
    )
    mask = sub.state[NAME]["mask"]
    now, then, old = (layout.split(v) for v in (params, sub.params, before))
    for name, rows in gone.items():
        if not len(rows):
            continue
        place = layout.feeds[name.removesuffix(".weight")].place
        kept = torch.ones(len(now[name]), dtype=torch.bool)
        kept[rows] = False
        assert torch.equal(now[name][kept], then[name][kept]), "others stay as they are"
        new, others = now[name][rows].flatten(1), [then[name][kept], old[name][rows]]
        together = torch.cat(others).flatten(1)
        if len(together) < together.shape[1]:
            assert (new @ together.T).abs().max() < 1e-10
        length = together.norm(dim=1).mean()
        assert torch.allclose(new.norm(dim=1), length, rtol=1e-10)
        if f"{place}.gain" in now:
            assert (now[f"{place}.gain"][rows] == 1).all()
            assert (now[f"{place}.shift"][rows] == 0).all()
            assert (state["model"][f"{place}.mean"][rows] == 0).all()
            assert (state["model"][f"{place}.var"][rows] == 1).all()
            assert (state["model"][f"{place}.mean"][kept] != 0).any()
        else:
            assert (now[f"{name.removesuffix('.weight')}.bias"][rows] == 0).all()
    velocity = state["optimizer"]["velocity"]
    assert not velocity[~mask].any() and velocity[mask].any()
    x = problem.rows(problem.splits.train).x[:20]

    def outputs(vector: torch.Tensor, state: Any) -> torch.Tensor:
        found, _ = problem.config.model.apply(
            layout.split(vector),
            state["model"],
            x,
            lambda h, site, kind="activation": h,
            training=False,
        )
        return found

    assert torch.allclose(outputs(params, state), outputs(sub.params, sub.state), rtol=1e-10)
    last = training.epoch(sub)
    moved = layout.split(last.params)
    for name, rows in gone.items():
        to = moved[f"{layout.feeds[name.removesuffix('.weight')].to}.weight"]
        if len(rows):
            seen = to.view(len(to), len(moved[name]), -1)[:, rows]
            assert seen.any(), "and are used again"


def test_a_fraction_of_zero_is_no_repr_at_all(tmp_path: Path) -> None:
    runs = []
    for part in (None, {"fraction": 0.0}):  # for whose cycles there are not enough epochs
        training = single.Training(assemble(case(part), tmp_path), SEED)
        progress = training.start()
        for _ in range(3):
            progress = training.epoch(progress)
        runs.append(progress.params)
    assert torch.equal(*runs)


@pytest.mark.parametrize(
    ("changes", "layers", "message"),
    [
        (MODELS["resnet"], ["stem"], "those of stem.weight are not known to be"),
        (
            {"model": {"kind": "mlp", "widths": [9], "normalization": {"kind": "weight"}}},
            "all",
            "without normalization weight",
        ),
        (MODELS["mlp"], "conv", r"^protocol\.repr\.layers: the model has no weights conv"),
        (
            {
                "data": {"kind": "sklearn", "name": "wine", "targets": "inputs"},
                "model": {"kind": "autoencoder", "widths": [7], "code": 3},
            },
            "all",
            r"in this model: none",
        ),
    ],
)
def test_layers_whose_units_others_see_are_refused(
    tmp_path: Path, changes: dict[str, Any], layers: Any, message: str
) -> None:
    with pytest.raises(InputError) as refused:
        trainer.check(case({**CYCLES, "layers": layers}, **changes), tmp_path)
    assert re.search(message, f"{refused.value.message}; {refused.value.hint}")


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"repr": {}}, "3 cycles of 20 \\+ 10 epochs .* more than 90 epochs, got epochs 6"),
        ({"repr": CYCLES, "averaging": {"kind": "ema"}}, "averaging does not go with repr"),
    ],
)
def test_what_cannot_be_is_refused(protocol: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        case(protocol=protocol)
