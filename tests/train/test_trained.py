"""What a trial leaves for use: a model that takes raw inputs, and digests of its data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from train_helpers import Run, config

from hpo.errors import HpoError, InputError
from hpo.train import checkpoint
from hpo.train.builtin import trainer
from hpo.train.data import load
from hpo.train.drivers import single
from hpo.train.problem import assemble
from hpo.train.step import Step

CONFIGS = {
    "classes": config(),
    "images": config(
        data={"kind": "sklearn", "name": "digits", "scaling": "minmax"},
        model={"kind": "cnn", "channels": [4]},
        epochs=1,
    ),
    "numbers": config(data={"kind": "sklearn", "name": "diabetes"}),
    "float64": config(precision="float64"),
    "inputs": config(
        data={"kind": "sklearn", "name": "digits", "targets": "inputs"},
        model={"kind": "autoencoder", "widths": [16], "code": 4},
        epochs=1,
    ),
    "several": config(
        data={"kind": "npz", "path": "several.npz"},
        model={"kind": "multitask", "widths": [6], "head_widths": [4]},
        loss={"kind": "mse", "auxiliary": 0.5},
        epochs=1,
    ),
    "kinds": config(
        data={"kind": "npz", "path": "kinds.npz", "y": ["size", "kind", "yes"]},
        model={"kind": "multitask", "widths": [6], "head_widths": [4]},
        epochs=1,
    ),
    "diagonal": config(
        data={"kind": "sklearn", "name": "diabetes"}, model={"kind": "diagonal", "alpha": 0.3}
    ),
    **{
        f"{what} with {kind}": config(
            data=data, model={"kind": kind, "width": 8, "layers": 2}, epochs=1
        )
        for kind in ("gru", "lstm", "transformer")
        for what, data in (
            ("text", {"kind": "text", "path": "text.txt", "length": 7}),
            ("series", {"kind": "npz", "path": "series.npz", "series": True}),
        )
    },
    "whitened": config(data={"kind": "sklearn", "name": "wine", "scaling": "pca_whitening"}),
    "batch norm": config(model={"kind": "mlp", "widths": [8], "normalization": {"kind": "batch"}}),
    "weight norm": config(
        model={"kind": "mlp", "widths": [8], "normalization": {"kind": "weight"}}
    ),
    "residual": config(
        data={"kind": "sklearn", "name": "digits"},
        model={"kind": "resnet", "channels": [4, 6], "normalization": {"kind": "batch"}},
        epochs=1,
    ),
}


@pytest.fixture(params=CONFIGS)
def trained(request, tmp_path):
    """A config, its complete trial, its weights and the model of them."""
    (tmp_path / "text.txt").write_text("the quick brown fox " * 40)
    x = np.random.default_rng(0).normal(size=(60, 2, 5))
    np.savez(tmp_path / "series.npz", x=x, y=np.arange(60) % 3)
    np.savez(tmp_path / "several.npz", x=x[:, 0], y=x[:, 1])
    kinds = np.array(["a", "b", "c"])[np.arange(60) % 3]
    np.savez(tmp_path / "kinds.npz", x=x[:, 0], size=x[:, 1, 0], kind=kinds, yes=kinds == "a")
    chosen, trial = CONFIGS[request.param], Run(tmp_path).trial()
    trainer.run(chosen, trial)
    weights = trainer.weights(chosen, trial)
    assert weights is not None
    return chosen, trial, weights, trainer.model(chosen, weights, tmp_path)


def raw_test_rows(chosen, folder):
    """As a user has them: before any scaling."""
    splits = load(chosen.data, folder)
    rows = splits.test()
    if splits.task == "next_character":
        return torch.from_numpy(rows.x), torch.from_numpy(rows.y), splits
    x = rows.x * splits.scale_inputs.scale
    if splits.scale_inputs.rotation is not None:
        x = x @ splits.scale_inputs.rotation.T
    x = x + splits.scale_inputs.offset
    y = rows.y * splits.scale_targets.scale + splits.scale_targets.offset
    return torch.from_numpy(x), torch.from_numpy(y), splits


def test_the_model_gives_on_raw_inputs_what_the_trainer_measured(trained, tmp_path):
    chosen, trial, _, model = trained
    x, y, splits = raw_test_rows(chosen, tmp_path)
    outputs = model(x)
    measured = trainer.test(chosen, trial)
    if splits.task == "reconstruction":
        assert outputs.shape == x.shape
        scaled = (outputs - x) / torch.from_numpy(splits.scale_inputs.scale)
        rmse = scaled.square().mean().sqrt().item()
        assert rmse == pytest.approx(measured["test_rmse"], rel=1e-4)
    elif splits.task == "multitask":
        told, true = model.decode(outputs), model.decode(y)
        rmse = np.sqrt(np.square(np.subtract(told["size"], true["size"])).mean())
        assert rmse == pytest.approx(measured["test_rmse"], rel=1e-4)
        for name, classes in (("kind", {"a", "b", "c"}), ("yes", {True, False})):
            assert set(true[name]) == classes >= set(told[name])
            wrong = np.not_equal(told[name], true[name]).mean()
            assert wrong == pytest.approx(measured[f"test_{name}_error"], abs=1e-9)
    elif splits.task != "regression":
        assert outputs.shape == (*y.shape, splits.outputs)
        wrong = (outputs.argmax(-1) != y).double().mean().item()
        assert wrong == pytest.approx(measured["test_error"], abs=1e-9)
    else:
        rmse = (outputs - y).square().mean().sqrt().item()
        assert rmse == pytest.approx(measured["test_rmse"], rel=1e-4)


def test_it_can_be_exported_with_any_number_of_rows(trained, tmp_path):
    chosen, _, weights, model = trained
    example = torch.from_numpy(trainer.example(chosen, weights, tmp_path))
    text = chosen.data.kind == "text"
    assert example.dtype == (torch.int64 if text else torch.float32) and len(example) == 2
    rows = torch.export.Dim.AUTO
    exported = torch.export.export(model, (example,), dynamic_shapes=[{0: rows}]).module()
    for n in (1, 5):
        shape = (n, *example.shape[1:])
        x = torch.randint(len(model.vocabulary), shape) if text else torch.randn(shape)
        assert torch.equal(exported(x), model(x))


def test_a_text_is_encoded_as_the_model_was_trained(tmp_path):
    (tmp_path / "text.txt").write_text("the quick brown fox " * 40)
    chosen, trial = CONFIGS["text with gru"], Run(tmp_path).trial()
    trainer.run(chosen, trial)
    model = trainer.model(chosen, trainer.weights(chosen, trial), tmp_path)
    splits = load(chosen.data, tmp_path)
    assert model.vocabulary == splits.vocabulary
    assert torch.equal(model.encode("the qui"), torch.from_numpy(splits.train.x[:1]))
    assert model.encode("a z").tolist() == [[0, splits.vocabulary.index(" "), 0]]
    assert model(model.encode("the")).shape == (1, 3, len(splits.vocabulary))


def test_there_is_a_tensor_for_each_parameter(trained, tmp_path):
    chosen, _, weights, model = trained
    with safe_open(weights, "pt") as file:
        names = set(file.keys())
    problem = assemble(chosen, tmp_path)
    network = problem.layout.split(torch.zeros(problem.layout.size))
    state = chosen.model.init_state(network)
    scaling = {"inputs.offset", "inputs.scale", "targets.offset", "targets.scale"}
    if chosen.data.scaling == "pca_whitening":
        scaling.add("inputs.rotation")
    assert names == {*network, *state, *scaling}
    assert set(model.state_dict()) == {
        *(f"network.{name}" for name in network),
        *(f"state.{name}" for name in state),
        *(f"scaling.{name}" for name in scaling),
    }


def test_weights_of_another_config_are_refused(tmp_path):
    trial = Run(tmp_path).trial()
    trainer.run(config(), trial)
    weights = trainer.weights(config(), trial)
    with pytest.raises(InputError, match="weights of another config"):
        trainer.model(config(model={"kind": "mlp", "widths": [9]}), weights, tmp_path)


def test_a_state_of_another_config_is_refused(tmp_path):
    """Gains and shifts are those of both; running statistics are of one."""
    batch, layer = (
        config(model={"kind": "mlp", "widths": [8], "normalization": {"kind": kind}})
        for kind in ("batch", "layer")
    )
    for index, (chosen, other) in enumerate([(batch, layer), (layer, batch)]):
        trial = Run(tmp_path / str(index)).trial()
        trainer.run(chosen, trial)
        with pytest.raises(InputError, match="state of another config"):
            trainer.model(other, trainer.weights(chosen, trial), tmp_path)


def test_the_model_of_dropped_directions_takes_all_columns(tmp_path):
    """Whitening leaves three of four columns, of which two say the same."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    x = np.column_stack([x, 2 * x[:, 0] - 5])
    np.savez(tmp_path / "data.npz", x=x, y=(x[:, 1] > 0).astype(int))
    data = {"kind": "npz", "path": "data.npz", "scaling": "pca_whitening"}
    chosen = config(data=data, epochs=30, batch_lr={"base_lr": 1.0, "batch_size": 16})
    trial = Run(tmp_path).trial()
    trainer.run(chosen, trial)
    weights = trainer.weights(chosen, trial)
    assert trainer.example(chosen, weights, tmp_path).shape == (2, 4)
    with safe_open(weights, "np") as file:
        assert file.get_tensor("inputs.rotation").shape == (4, 3)
        assert file.get_tensor("layers.0.weight").shape == (8, 3)
    model = trainer.model(chosen, weights, tmp_path)
    predicted = model(torch.from_numpy(x)).argmax(1).numpy()
    assert (predicted == (x[:, 1] > 0)).mean() > 0.9


def refit(folder, epochs, stop_at=None):
    run = Run(folder, stop_at=stop_at)
    trial = run.trial()
    trial.refit = epochs
    return run, trial


def test_a_refit_trains_on_both_splits_and_claims_no_validation(tmp_path):
    run, trial = refit(tmp_path, 3)
    chosen = config(early_stopping={"patience": 1})
    result = trainer.run(chosen, trial)
    assert result.keys() == {"train_loss", "best_epoch", "epochs"}
    assert (result["best_epoch"], result["epochs"]) == (3, 3)
    assert [set(report.metrics) for report in run.reports] == [{"train_loss"}] * 3

    usual, both = load(chosen.data, tmp_path), load(chosen.data, tmp_path, refit=True)
    assert len(both.train) == len(usual.train) + len(usual.validation)
    assert len(both.test()) == len(usual.test())
    with safe_open(trainer.weights(chosen, trial), "np") as file:
        offset = file.get_tensor("inputs.offset")
    np.testing.assert_array_equal(offset, both.scale_inputs.offset)
    assert not np.array_equal(offset, usual.scale_inputs.offset)


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("refit_for", ["steps", "epochs"])
def test_a_refit_has_as_many_steps_or_epochs(tmp_path, monkeypatch, refit_for, repeats):
    seen = []

    def watched(self, params, state, batch, knobs):
        seen.append(batch)
        return step(self, params, state, batch, knobs)

    step = Step.__call__
    monkeypatch.setattr(Step, "__call__", watched)
    chosen = config(refit_for=refit_for, repeats=repeats, batch_lr={"batch_size": 32})
    trainer.run(chosen, Run(tmp_path / "honest").trial())
    usual = len(seen)
    seen.clear()
    _, trial = refit(tmp_path / "refit", 4)
    result = trainer.run(chosen, trial)
    assert result["epochs"] == 4
    sizes = [len(load(chosen.data, tmp_path, refit=refit).train) for refit in (False, True)]
    assert sizes == [90, 120]
    assert (usual, len(seen)) == (4 * 3, 4 * (3 if refit_for == "steps" else 4))
    rows = sum(batch.x.shape[-2] for batch in seen)
    assert rows == 4 * sizes[refit_for == "epochs"]
    assert 0.1 < result["train_loss"] < 2, "the mean over the rows that were seen"


def test_a_refit_of_as_many_steps_draws_its_rows_from_both_splits(tmp_path):
    problem = assemble(config(epochs=8), tmp_path, 8)
    training = single.Training(problem, 0)
    rows = [torch.cat([batch.x for batch in training._batches(epoch)]) for epoch in range(8)]
    assert all(len(epoch) == 90 for epoch in rows)
    drawn = {tuple(row) for row in torch.cat(rows).tolist()}
    assert drawn == {tuple(row) for row in training._train.x.tolist()}


def test_a_refit_goes_on_from_its_checkpoint(tmp_path):
    _, whole = refit(tmp_path / "whole", 4)
    trainer.run(config(), whole)
    _, cut = refit(tmp_path / "cut", 4, stop_at=2)
    with pytest.raises(BaseException, match="pause"):
        trainer.run(config(), cut)
    _, again = refit(tmp_path / "cut", 4)
    trainer.run(config(), again)
    both = [trainer.weights(config(), trial).read_bytes() for trial in (whole, again)]
    assert both[0] == both[1]


def test_a_refit_is_not_continued_as_something_else(tmp_path):
    _, trial = refit(tmp_path, 2)
    trainer.run(config(), trial)
    trial.refit = None
    with pytest.raises(HpoError, match="another config, seed or refit"):
        trainer.run(config(), trial)


@pytest.mark.parametrize("epochs", [0, 5])
def test_a_refit_is_no_longer_than_its_schedule(tmp_path, epochs):
    _, trial = refit(tmp_path, epochs)
    with pytest.raises(InputError, match="a refit takes 1 to 4 epochs"):
        trainer.run(config(), trial)


def test_the_fingerprint_is_that_of_the_rows_in_each_split(tmp_path):
    usual = trainer.fingerprint(config(), tmp_path)
    assert usual.keys() == {"train", "validation", "test"} and len(set(usual.values())) == 3
    scaled = config(data={"kind": "sklearn", "name": "iris", "scaling": "none"}, epochs=9)
    assert trainer.fingerprint(scaled, tmp_path) == usual, "scaling is the config's, not the data's"
    split = config(data={"kind": "sklearn", "name": "iris", "split": {"seed": 1}})
    assert trainer.fingerprint(split, tmp_path) != usual


def test_the_fingerprint_notices_a_changed_value(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    data = {"kind": "npz", "path": "data.npz"}
    np.savez(tmp_path / "data.npz", x=x, y=y)
    before = trainer.fingerprint(config(data=data), tmp_path)
    x[7, 1] += 1e-9
    np.savez(tmp_path / "data.npz", x=x, y=y)
    after = trainer.fingerprint(config(data=data), tmp_path)
    assert sum(before[name] != after[name] for name in before) == 1


@pytest.mark.parametrize("damage", ["cut", "other", "large"])
def test_weights_that_are_damaged_are_refused(tmp_path, monkeypatch, damage):
    chosen, trial = config(), Run(tmp_path).trial()
    trainer.run(chosen, trial)
    weights = trainer.weights(chosen, trial)
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "other":
        save_file({"x": torch.zeros(1)}, weights)
    else:
        monkeypatch.setattr(checkpoint, "MAX_BYTES", weights.stat().st_size - 1)
    with pytest.raises(InputError, match="is damaged"):
        trainer.model(chosen, weights, tmp_path)
