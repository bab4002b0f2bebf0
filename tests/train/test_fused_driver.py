from __future__ import annotations

import math
import shutil
import statistics
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packs import TestPack, member, pack
from train_helpers import EVERYTHING, Run, config

from hpo.records import Decision
from hpo.train import checkpoint
from hpo.train.augmentations import Augmentation
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.drivers import single
from hpo.train.drivers.fused import Training, run_many
from hpo.train.drivers.lane import Lane
from hpo.train.lanes import bind, fusion_key, knobs
from hpo.train.noise import derive
from hpo.train.problem import assemble
from hpo.trainable import TrialStopped

# 5 epochs of 10 steps.
BASE: dict[str, Any] = {
    "precision": "float64",
    "epochs": 5,
    "batch_lr": {"batch_size": 9, "base_lr": 0.5},
    "model": {"kind": "mlp", "widths": [7]},
    "checkpoint_seconds": 0.0,
}
PARTS: dict[str, dict[str, Any]] = {
    "l1": {"regularization": {"l1": {"strength": 0.003}}},
    "l2": {"regularization": {"l2": {"strength": 0.01}}},
    "weight_decay": {"regularization": {"weight_decay": {"strength": 0.05}}},
    "decay_product": {
        "regularization": {"weight_decay": {"strength": 0.001, "decay_rule": "product"}}
    },
    "max_norm": {"regularization": {"max_norm": {"radius": 1.0}}},
    "mma": {"regularization": {"mma": {"strength": 0.1}}},
    "weight_noise": {"regularization": {"weight_noise": {"sd": 0.1}}},
    "gradient_noise": {"regularization": {"gradient_noise": {"sd": 0.1, "gamma": 0.5}}},
    "drop_connect": {"regularization": {"drop_connect": {"rate": 0.1}}},
    "mhe": {"regularization": {"mhe": {"strength": 0.05, "half_space": True}}},
    "angle_preserving": {
        "regularization": {
            "comhe": {
                "strength": 0.05,
                "projection": {"kind": "angle_preserving", "size": 3, "steps": 2},
            }
        }
    },
    "pr_product": {"regularization": {"pr_product": {}}},
    "orthogonality": {"regularization": {"orthogonality": {"strength": 0.02}}},
    "orthoreg": {"regularization": {"orthoreg": {"strength": 0.1}}},
    "ema": {"protocol": {"averaging": {"kind": "ema", "decay": 0.95}}},
    "sam": {"protocol": {"sam": {"radius": 0.1}}},
    "dsd": {"protocol": {"dsd": {"sparsity": 0.5}}},
    "repr": {
        "protocol": {"repr": {"fraction": 0.4, "full_epochs": 1, "sub_epochs": 1, "cycles": 1}}
    },
    "dropout_input": {"dropout": {"input": 0.1}},
    "dropout_hidden": {"dropout": {"hidden": 0.2}},
    "smoothing": {"loss": {"kind": "cross_entropy", "label_smoothing": 0.1}},
    "clip_norm": {"clipping": {"norm": 0.5}},
    "clip_value": {"clipping": {"value": 0.05}},
    "warmup": {"warmup": {"fraction": 0.3}},
    "cosine": {"schedule": {"kind": "cosine", "floor": 0.1}},
    "one_cycle": {"schedule": {"kind": "one_cycle"}},
    "growing_batch": {
        "schedule": {
            "kind": "growing_batch",
            "milestones": [0.5],
            "max_batch_size": 36,
        }
    },
    "initialization": {"initialization": {"kind": "xavier", "gain": 0.8}},
    "early_stopping": {"early_stopping": {"patience": 2}},
    "cycle_end": {
        "schedule": {"kind": "warm_restarts", "cycles": 2},
        "early_stopping": {"patience": 1, "at": "cycle_end"},
    },
    "batch_norm": {"model": {"kind": "mlp", "widths": [7], "normalization": {"kind": "batch"}}},
    "layer_norm": {"model": {"kind": "mlp", "widths": [7], "normalization": {"kind": "layer"}}},
    "weight_norm": {"model": {"kind": "mlp", "widths": [7], "normalization": {"kind": "weight"}}},
    "mixup": {"augmentation": {"mixup": {"alpha": 0.5}}},
    "noise": {"augmentation": {"noise": {"sd": 0.2}}},
    "sgd": {"optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": True}},
    "adamw": {"optimizer": {"kind": "adamw"}, "batch_lr": {"base_lr": 0.05}},
}


def lanes_of(changes: dict[str, Any], count: int = 3) -> list[TrainConfig]:
    """Configs of one fusion key whose per-lane values all differ, as plain numbers."""
    batch_lr = {**BASE["batch_lr"], **changes.get("batch_lr", {})}
    base = config(**BASE | changes | {"batch_lr": batch_lr})
    values = knobs(base)
    assert values
    configs = [
        TrainConfig.model_validate(
            bind(base, {path: value * (1 - 0.1 * k) for path, value in values.items()}).model_dump()
        )
        for k in range(count)
    ]
    assert len({fusion_key(each) for each in configs}) == 1
    return configs


def alone(folder: Path, case: TrainConfig, seed: int) -> tuple[Run, dict[str, float]]:
    run = Run(folder, seed=seed)
    return run, single.run(case, run.trial())


def fuse(folder: Path, cases: list[TrainConfig], **arguments: Any) -> TestPack:
    together = pack([member(folder, k, case) for k, case in enumerate(cases)], **arguments)
    run_many(together)
    return together


def weights(folder: Path) -> torch.Tensor:
    tensors, _ = checkpoint.read(folder / "model.safetensors")
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def assert_equal_alone(tmp_path: Path, cases: list[TrainConfig]) -> None:
    together = fuse(tmp_path / "pack", cases)
    shown = []
    for k, case in enumerate(cases):
        run, result = alone(tmp_path / f"alone-{k}", case, seed=k)
        fused = together.ended[k]
        assert fused is not None
        assert fused == pytest.approx(result, rel=1e-10, abs=1e-10)
        assert [each.step for each in together.reports[k]] == [r.step for r in run.reports]
        for ours, theirs in zip(together.reports[k], run.reports, strict=True):
            assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-10, abs=1e-10)
        own = weights(tmp_path / "pack" / f"{k}")
        assert (own - weights(tmp_path / f"alone-{k}" / "ck")).abs().max() <= 1e-10
        shown.append(own)
    assert (shown[0] - shown[1]).abs().max() > 1e-3, "the lanes do not differ"


# Parts of families of which the pairs below have some.
MORE: dict[str, dict[str, Any]] = {
    **{
        kind: {"optimizer": {"kind": kind}, "batch_lr": {"base_lr": rate}}
        for kind, rate in (
            ("adagrad", 0.5),
            ("rmsprop", 0.05),
            ("adadelta", 20.0),
            ("adam", 0.1),
            ("sgdw", 0.5),
            ("lion", 0.05),
        )
    },
    **{
        kind: {"schedule": {"kind": kind}}
        for kind in (
            "inverse_time",
            "exponential",
            "natural_exponential",
            "linear",
            "triangular",
            "warm_restarts",
            "piecewise",
        )
    },
    "random": {
        "regularization": {
            "comhe": {
                "strength": 0.01,
                "half_space": False,
                "projection": {"kind": "random", "size": 3},
            }
        }
    },
    # An ascent on forces that grow without a bound amplifies rounding errors where steps are large.
    "adversarial": {
        "regularization": {
            "comhe": {
                "strength": 0.01,
                "projection": {"kind": "adversarial", "size": 3, "steps": 2},
            }
        },
        "batch_lr": {"batch_size": 9, "base_lr": 0.05},
    },
    "time_shift": {"augmentation": {"time_shift": {"share": 0.3}}},
    "scaling": {"augmentation": {"scaling": {"sd": 0.2}}},
    "adaptive_sam": {"protocol": {"sam": {"radius": 1.0, "adaptive": True}}},
    "swa": {"protocol": {"averaging": {"kind": "swa", "start": 0.4}}},
    "swa_step": {"protocol": {"averaging": {"kind": "swa", "start": 0.4, "every": "step"}}},
    **{
        f"{kind}_batch_norm": {
            "model": {"kind": "mlp", "widths": [7], "normalization": {"kind": "batch"}},
            "protocol": {"averaging": {"kind": kind}},
        }
        for kind in ("ema", "swa")
    },
}


@pytest.mark.parametrize("part", [*PARTS, *MORE])
def test_a_lane_equals_the_same_trial_alone(tmp_path: Path, part: str) -> None:
    assert_equal_alone(tmp_path, lanes_of({**PARTS, **MORE}[part]))


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Changes of several parts; those to one section go together."""
    found: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            found[key] = {**found.get(key, {}), **value}
    return found


FAMILY = {
    "cosine": "schedule",
    "one_cycle": "schedule",
    "cycle_end": "schedule",
    "batch_norm": "normalization",
    "layer_norm": "normalization",
    "weight_norm": "normalization",
    "early_stopping": "stopping",
    "growing_batch": "schedule",
    "sgd": "optimizer",
    "adamw": "optimizer",
    "decay_product": "weight_decay",
    "ema": "averaging",
    "repr": "averaging",
}
PAIRS = [
    pair
    for pair in combinations(PARTS, 2)
    if FAMILY.get(pair[0], pair[0]) != FAMILY.get(pair[1], pair[1])
    and pair != ("repr", "weight_norm")  # refused: a direction of zeros is none
]


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_two_parts_of_a_lane_equal_the_same_trial_alone(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    """Over 9 steps and not 50, so that all pairs take some twenty seconds."""
    changes = merged({"batch_lr": {"batch_size": 30}}, *(PARTS[part] for part in pair))
    shorter = {"epochs": 3, "checkpoint_seconds": 3600.0}
    assert_equal_alone(tmp_path, lanes_of(shorter | changes, count=2))


def test_everything_at_once_equals_the_same_trials_alone(tmp_path: Path) -> None:
    assert_equal_alone(tmp_path, lanes_of(EVERYTHING))


def test_images_train_together(tmp_path: Path) -> None:
    changes = {
        "data": {"kind": "sklearn", "name": "digits"},
        "model": {"kind": "cnn", "channels": [4]},
        "batch_lr": {"batch_size": 64, "base_lr": 0.2},
        "dropout": {"hidden": 0.1},
        "epochs": 2,
    }
    assert_equal_alone(tmp_path, lanes_of(changes))


def test_residual_nets_train_together(tmp_path: Path) -> None:
    changes = {
        "data": {"kind": "sklearn", "name": "digits"},
        "model": {"kind": "resnet", "channels": [4], "blocks": 2},
        "batch_lr": {"batch_size": 128, "base_lr": 0.1},
        "regularization": {"stochastic_depth": {"rate": 0.4}},
        "augmentation": {"cutmix": {"probability": 0.5, "alpha": 0.8}},
        "epochs": 1,
    }
    assert_equal_alone(tmp_path, lanes_of(changes))


def test_numbers_train_together(tmp_path: Path) -> None:
    data = {"kind": "sklearn", "name": "diabetes"}
    assert_equal_alone(tmp_path, lanes_of({"data": data, "dropout": {"hidden": 0.1}}))


AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "shift": {"share": 0.3},
    "crop": {"padding": 2},
    "flip": {"probability": 0.5},
    "color_jitter": {"brightness": 0.4, "contrast": 0.5},
    "cutout": {"side": 0.5},
    "time_shift": {"share": 0.4},
    "scaling": {"sd": 0.2},
    "noise": {"sd": 0.2},
    "mixup": {"alpha": 0.5},
    "cutmix": {"probability": 0.8, "alpha": 1.0},
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("images", "series")
        for name, part in config(augmentation=AUGMENTATIONS).augmentation.parts().items()
        if part.examples in (kind, "any")
    ],
)
def test_augmented_images_and_series_train_together(tmp_path: Path, kind: str, name: str) -> None:
    rng = np.random.default_rng(0)
    shape, model = {
        "images": ((60, 1, 8, 8), {"kind": "cnn", "channels": [3]}),
        "series": ((60, 2, 5), {"kind": "gru", "width": 3}),
    }[kind]
    np.savez(tmp_path / "a.npz", x=rng.normal(size=shape), y=np.arange(60) % 3)
    changes = {
        "data": {"kind": "npz", "path": str(tmp_path / "a.npz"), "series": kind == "series"},
        "model": model,
        "epochs": 2,
        "augmentation": {name: AUGMENTATIONS[name]},
    }
    cases = lanes_of(changes)
    assert_equal_alone(tmp_path, cases)
    plain = [case.model_copy(update={"augmentation": Augmentation()}) for case in cases]
    fuse(tmp_path / "plain", plain)
    apart = weights(tmp_path / "plain" / "0") - weights(tmp_path / "pack" / "0")
    assert apart.abs().max() > 1e-3, "the augmentation does nothing"


def test_every_augmentation_is_compared() -> None:
    assert AUGMENTATIONS.keys() == Augmentation.model_fields.keys()


SHORT: dict[str, Any] = {"epochs": 3, "batch_lr": {"batch_size": 16, "base_lr": 0.1}}
SEQUENCES: dict[str, dict[str, Any]] = {
    "gru": {"kind": "gru", "width": 5},
    "lstm": {"kind": "lstm", "width": 5, "layers": 2},
    "transformer": {"kind": "transformer", "width": 6, "heads": 2, "hidden": 8, "layers": 1},
}


VARIATIONAL = {"input": 0.1, "state": 0.1, "output": 0.1, "embedding": 0.1}
OWN: dict[str, dict[str, Any]] = {
    "gru": {"variational_dropout": VARIATIONAL},
    "lstm": {"variational_dropout": VARIATIONAL},
    "transformer": {"stochastic_depth": {"rate": 0.3}},
}


@pytest.mark.parametrize("model", SEQUENCES)
def test_texts_train_together(tmp_path: Path, model: str) -> None:
    (tmp_path / "t.txt").write_text("the quick brown fox, and so on; " * 16)
    changes = {
        "data": {"kind": "text", "path": str(tmp_path / "t.txt"), "length": 6},
        "model": SEQUENCES[model],
        "dropout": {"hidden": 0.2},
        "regularization": EVERYTHING["regularization"] | OWN[model],
        "loss": EVERYTHING["loss"],
    }
    assert_equal_alone(tmp_path, lanes_of(SHORT | changes))


@pytest.mark.parametrize("model", SEQUENCES)
def test_series_train_together(tmp_path: Path, model: str) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "s.npz", x=rng.normal(size=(80, 2, 5)), y=np.arange(80) % 3)
    data = {"kind": "npz", "path": str(tmp_path / "s.npz"), "series": True}
    changes = {
        "data": data,
        "model": SEQUENCES[model],
        "augmentation": {**EVERYTHING["augmentation"], "time_shift": {"share": 0.3}},
    }
    assert_equal_alone(tmp_path, lanes_of(SHORT | EVERYTHING | changes))


@pytest.mark.parametrize("tied", [False, True])
def test_reconstructions_train_together(tmp_path: Path, tied: bool) -> None:
    changes = {
        "data": {"kind": "sklearn", "name": "wine", "targets": "inputs"},
        "model": {"kind": "autoencoder", "widths": [7], "code": 3, "tied": tied},
        "loss": {"kind": "mse"},
    }
    assert_equal_alone(tmp_path, lanes_of(SHORT | EVERYTHING | changes))


@pytest.mark.parametrize("scored", ["all", "first"])
def test_several_targets_train_together(tmp_path: Path, scored: str) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(80, 4)), y=rng.normal(size=(80, 3)))
    changes = {
        "data": {"kind": "npz", "path": str(tmp_path / "d.npz"), "scored": scored},
        "model": {"kind": "multitask", "widths": [7], "head_widths": [3]},
        "loss": {"kind": "mse", "auxiliary": 0.3},
    }
    assert_equal_alone(tmp_path, lanes_of(SHORT | EVERYTHING | changes))


@pytest.mark.parametrize("model", ["multitask", "mlp"])
def test_targets_of_different_kinds_train_together(tmp_path: Path, model: str) -> None:
    rng = np.random.default_rng(0)
    columns = {"kind": np.arange(80) % 3, "size": rng.normal(size=80), "yes": np.arange(80) % 2 > 0}
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(80, 4)), **columns)
    data = {"kind": "npz", "path": str(tmp_path / "d.npz"), "y": list(columns), "classes": ["kind"]}
    loss = {"auxiliary": 0.3, "weights": {"yes": 2.0}, "label_smoothing": 0.1}
    changes = {
        "data": data,
        "model": {"kind": model, "widths": [7]},
        "loss": {"kind": "multitask", **loss},
    }
    cases = lanes_of(SHORT | EVERYTHING | changes)
    assert [case.loss.weights["yes"] for case in cases] == pytest.approx([2.0, 1.8, 1.6])
    assert_equal_alone(tmp_path, cases)


def test_first_values_of_diagonal_networks_may_differ(tmp_path: Path) -> None:
    changes = {
        "data": {"kind": "sklearn", "name": "diabetes"},
        "model": {"kind": "diagonal", "depth": 3, "alpha": 0.4},
    }
    cases = lanes_of(SHORT | {"batch_lr": {"batch_size": 64, "base_lr": 0.02}} | changes)
    assert [case.model.alpha for case in cases] == pytest.approx([0.4, 0.36, 0.32])
    assert_equal_alone(tmp_path, cases)


def same_bits(one: TestPack, other: TestPack, number: int) -> bool:
    return [each[1:] for each in one.reports[number]] == [
        each[1:] for each in other.reports[number]
    ]


@pytest.mark.parametrize("decision", [Decision.PRUNE, Decision.DIVERGE, Decision.PAUSE])
def test_a_lane_that_stops_leaves_the_others_as_they_are(
    tmp_path: Path, decision: Decision
) -> None:
    cases = lanes_of(EVERYTHING, count=4)
    undisturbed = fuse(tmp_path / "undisturbed", cases)
    disturbed = fuse(tmp_path / "disturbed", cases, stop={(1, 2): decision, (2, 3): decision})
    assert disturbed.ended[1] is None and disturbed.ended[2] is None
    assert disturbed.widths == [4, 4, 3, 2, 2]
    for number in (0, 3):
        assert same_bits(undisturbed, disturbed, number)
        assert torch.equal(
            weights(tmp_path / "undisturbed" / f"{number}"),
            weights(tmp_path / "disturbed" / f"{number}"),
        )


def test_a_lane_that_diverges_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    data = {"kind": "sklearn", "name": "diabetes"}
    cases = lanes_of({"data": data, "dropout": {"hidden": 0.2}})
    wild = cases[1].model_copy(
        update={"batch_lr": cases[1].batch_lr.model_copy(update={"base_lr": 100.0})}
    )
    calm = fuse(tmp_path / "calm", cases)
    mixed = fuse(tmp_path / "mixed", [cases[0], wild, cases[2]])
    assert any(not math.isfinite(each.metrics["val_loss"]) for each in mixed.reports[1])
    for number in (0, 2):
        assert same_bits(calm, mixed, number)


def test_a_lane_that_stops_early_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    stopping = BASE | {"early_stopping": {"patience": 1}, "epochs": 12}
    cases = [
        config(**stopping | {"batch_lr": {"batch_size": 9, "base_lr": rate}})
        for rate in (0.1, 8.0, 0.2)
    ]
    together = fuse(tmp_path / "pack", cases)
    lengths = [len(together.reports[k]) for k in range(3)]
    assert lengths[1] < min(lengths[0], lengths[2])
    for k, case in enumerate(cases):
        _, result = alone(tmp_path / f"alone-{k}", case, seed=k)
        assert together.ended[k] == pytest.approx(result, rel=1e-10, abs=1e-10)


def test_free_lanes_are_filled_with_trials_that_wait(tmp_path: Path) -> None:
    cases = lanes_of(EVERYTHING, count=5)
    members = [member(tmp_path / "pack", k, case) for k, case in enumerate(cases)]
    together = pack(members[:3], waiting=members[3:], stop={(1, 2): Decision.PRUNE})
    run_many(together)
    # 3 takes the place of 1 after two epochs, and 4 that of 0 or 2 after five.
    assert together.widths == [3, 3, 3, 3, 3, 2, 2, 1, 1, 1]
    for k in (0, 2, 3, 4):
        _, result = alone(tmp_path / f"alone-{k}", cases[k], seed=k)
        assert together.ended[k] == pytest.approx(result, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(
    "part",
    [
        "sgd",
        "adamw",
        "growing_batch",
        "early_stopping",
        "cycle_end",
        "batch_norm",
        "angle_preserving",
        "repr",
    ],
)
def test_a_paused_pack_goes_on_as_if_it_had_not_stopped(tmp_path: Path, part: str) -> None:
    cases = lanes_of({**EVERYTHING, **PARTS[part], "checkpoint_seconds": 3600.0})
    whole = fuse(tmp_path / "whole", cases)
    pauses = {(0, 1): Decision.PAUSE, (1, 3): Decision.PAUSE, (2, 3): Decision.PAUSE}
    fuse(tmp_path / "cut", cases, stop=pauses)
    resumed = fuse(tmp_path / "cut", cases)
    for k in range(3):
        assert resumed.reports[k][0].step == (1 if k == 0 else 3)
        assert resumed.ended[k] == pytest.approx(whole.ended[k], rel=1e-12)


def test_a_lane_is_cut_out_of_a_pack_and_goes_on_alone_and_back(tmp_path: Path) -> None:
    cases = lanes_of(EVERYTHING)
    _, result = alone(tmp_path / "alone", cases[1], seed=1)
    fuse(tmp_path / "pack", cases, stop={(1, 2): Decision.PAUSE})
    folder = tmp_path / "pack"
    run = Run(folder, seed=1, stop_at=4)
    (folder / "1").rename(folder / "ck")
    with pytest.raises(BaseException, match="pause"):
        single.run(cases[1], run.trial())
    assert [report.step for report in run.reports] == [2, 3, 4]
    (folder / "ck").rename(folder / "1")
    together = pack([member(folder, 1, cases[1]), member(folder, 7, cases[2])])
    run_many(together)
    assert together.reports[1][0].step == 4
    assert together.ended[1] == pytest.approx(result, rel=1e-10, abs=1e-10)


def test_a_finished_lane_answers_from_what_it_has_left(tmp_path: Path) -> None:
    cases = lanes_of(EVERYTHING)
    first = fuse(tmp_path / "pack", cases)
    again = fuse(tmp_path / "pack", cases)
    assert again.ended == first.ended
    assert again.widths == [3], "nothing is trained again"


def test_a_refit_trains_together(tmp_path: Path) -> None:
    case = config(**BASE)
    members = []
    for k in range(2):
        each = member(tmp_path, k, case)
        each.trial.refit = 3
        members.append(each)
    together = pack(members)
    run_many(together)
    assert all(set(r.metrics) == {"train_loss"} for rs in together.reports.values() for r in rs)
    assert [len(together.reports[k]) for k in range(2)] == [3, 3]


def test_a_member_that_cannot_go_on_fails_alone(tmp_path: Path) -> None:
    cases = lanes_of(EVERYTHING)
    fuse(tmp_path, cases, stop={(k, 1): Decision.PAUSE for k in range(3)})
    damaged = tmp_path / "1" / "running.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    together = fuse(tmp_path, [cases[0], cases[1], cases[0]])
    assert "is damaged" in str(together.failed[1])
    assert "another config, seed or refit" in str(together.failed[2])
    _, result = alone(tmp_path / "alone", cases[0], seed=0)
    assert together.ended[0] == pytest.approx(result, rel=1e-10)


def test_what_is_resumed_lies_in_the_order_of_what_is_not(tmp_path: Path) -> None:
    """CUDA graphs copy by that order; a file has its names sorted."""
    model = {"kind": "mlp", "widths": [3] * 12, "normalization": {"kind": "batch"}}
    case = config(**BASE | {"model": model, "epochs": 2})
    fuse(tmp_path, [case], stop={(0, 1): Decision.PAUSE})
    problem = assemble(case, tmp_path)
    fresh, resumed = (
        Training(problem, pack([])).open(Lane(problem, number, tmp_path / f"{number}"))
        for number in (1, 0)
    )
    assert list(fresh.state["model"]) != list(resumed.state["model"]), "the orders differ"
    for one, other in zip(fresh.trained(), resumed.trained(), strict=True):
        names = [name for name, tensor in fresh.state["model"].items() if tensor is one]
        assert all(resumed.state["model"][name] is other for name in names)


# ---- several seeds ----


def test_several_seeds_of_a_trial_train_together_and_report_means(tmp_path: Path) -> None:
    case = config(**BASE | EVERYTHING, repeats=3)
    run = Run(tmp_path / "several", seed=7)
    result = dict(trainer.run(case, run.trial()))
    seeds = [derive(7, "repeat", k) if k else 7 for k in range(3)]
    single_case = case.model_copy(update={"repeats": 1})
    runs = [Run(tmp_path / f"{k}", seed=seed) for k, seed in enumerate(seeds)]
    each = [single.run(single_case, own.trial()) for own in runs]
    for name in each[0]:
        values = [own[name] for own in each]
        assert result[name] == pytest.approx(statistics.fmean(values), rel=1e-9)
        assert result[f"{name}_se"] == pytest.approx(statistics.stdev(values) / 3**0.5, abs=1e-9)
    assert [report.step for report in run.reports] == [1, 2, 3, 4, 5]
    assert trainer.metrics(case) is not None
    assert set(run.reports[0].metrics) == trainer.metrics(case)

    tested = trainer.test(case, run.trial())
    alone = [trainer.test(single_case, own.trial())["test_loss"] for own in runs]
    assert tested["test_loss"] == pytest.approx(statistics.fmean(alone), rel=1e-9)
    assert tested["test_loss_se"] > 0
    assert trainer.run(case, run.trial()) == result, "a finished trial gives its result again"


def test_seeds_that_stop_early_wait_for_the_others(tmp_path: Path) -> None:
    stopping = {"early_stopping": {"patience": 1}, "epochs": 12}
    rate = {"batch_lr": {"batch_size": 9, "base_lr": 6.0}}
    case = config(**BASE | stopping | rate, repeats=4)
    run = Run(tmp_path / "several", seed=3)
    result = trainer.run(case, run.trial())
    alone = [
        single.run(
            case.model_copy(update={"repeats": 1}),
            Run(tmp_path / f"{k}", seed=derive(3, "repeat", k) if k else 3).trial(),
        )
        for k in range(4)
    ]
    lengths = [own["epochs"] for own in alone]
    assert len(set(lengths)) > 1, "all stopped in the same epoch"
    assert len(run.reports) == max(lengths)
    assert result["epochs"] == statistics.fmean(lengths)
    assert result["val_loss"] == pytest.approx(
        statistics.fmean(own["val_loss"] for own in alone), rel=1e-9
    )


def test_several_seeds_go_on_where_they_stood(tmp_path: Path) -> None:
    case = config(**BASE | EVERYTHING, repeats=2)
    whole = trainer.run(case, Run(tmp_path / "whole", seed=5).trial())
    cut = Run(tmp_path / "cut", seed=5, stop_at=3)
    with pytest.raises(TrialStopped):
        trainer.run(case, cut.trial())
    cut.stop_at = None
    assert trainer.run(case, cut.trial()) == pytest.approx(whole, rel=1e-12)


def test_trials_with_several_seeds_share_a_pack(tmp_path: Path) -> None:
    cases = [each.model_copy(update={"repeats": 2}) for each in lanes_of(EVERYTHING)]
    together = fuse(tmp_path / "pack", cases)
    for k, case in enumerate(cases):
        result = trainer.run(case, Run(tmp_path / f"alone-{k}", seed=k).trial())
        assert together.ended[k] == pytest.approx(result, rel=1e-9)


def test_seeds_that_were_saved_at_different_epochs_wait_for_each_other(tmp_path: Path) -> None:
    case = config(**BASE | EVERYTHING, repeats=2)
    whole = trainer.run(case, Run(tmp_path / "whole", seed=5).trial())
    early, late = (Run(tmp_path / name, seed=5, stop_at=n) for name, n in (("a", 1), ("b", 3)))
    for run in (early, late):
        with pytest.raises(TrialStopped):
            trainer.run(case, run.trial())
    # As after a kill between the writing of the one and of the other.
    shutil.copytree(
        tmp_path / "b" / "ck" / "repeat-1", tmp_path / "a" / "ck" / "repeat-1", dirs_exist_ok=True
    )
    early.stop_at = None
    early.reports.clear()
    assert trainer.run(case, early.trial()) == pytest.approx(whole, rel=1e-12)
    assert [report.step for report in early.reports] == [3, 4, 5]
