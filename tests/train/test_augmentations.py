from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from scipy import stats
from train_helpers import Run, config

from hpo.errors import InputError
from hpo.functional import cutmix, mixup
from hpo.train.augmentations import (
    Augmentation,
    AugmentationPart,
    ColorJitter,
    Crop,
    Cutmix,
    Cutout,
    Flip,
    Mixup,
    Noise,
    Scaling,
    Shift,
    TimeShift,
)
from hpo.train.augmentations.cutout import covered
from hpo.train.augmentations.mixup import lesser_share
from hpo.train.augmentations.shift import move, offsets
from hpo.train.builtin import trainer
from hpo.train.drivers.single import run
from hpo.train.lanes import bind, knobs
from hpo.train.layout import Layout
from hpo.train.losses import CrossEntropy
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.parts import families
from hpo.train.regularizers.base import Context

MakeRun = Callable[..., Run]

LIKE = torch.empty(0, dtype=torch.float64)
LAYOUT = Layout({"head.weight": (3, 4), "head.bias": (3,)})
SOURCE = NoiseSource(LIKE.device)
B = 512


def context(key: torch.Tensor) -> Context:
    return Context(
        LIKE.new_tensor(0.0),
        LIKE.new_tensor(0.1),
        SOURCE.at(key),
        LAYOUT,
        LAYOUT.weight_mask(LIKE),
    )


def changed(
    part: AugmentationPart, x: torch.Tensor, y: torch.Tensor | None = None, step: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.zeros(len(x), 1, dtype=x.dtype) if y is None else y
    return part.on_batch(x, y, context(step_keys(5, torch.tensor([step]))[0]))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


IMAGES, SERIES, CHANNELS, TABLE = (2, 6, 8), (9,), (3, 9), (4,)
PARTS = [
    (Shift(share=0.3), IMAGES),
    (Crop(padding=2), IMAGES),
    (Flip(probability=0.5), IMAGES),
    (ColorJitter(brightness=0.4, contrast=0.5), IMAGES),
    (Cutout(side=0.5), IMAGES),
    (TimeShift(share=0.3), SERIES),
    (TimeShift(share=0.3), CHANNELS),
    (Scaling(sd=0.3), SERIES),
    (Scaling(sd=0.3), CHANNELS),
    (Noise(sd=0.3), TABLE),
    (Noise(sd=0.3), IMAGES),
    (Mixup(alpha=0.7), TABLE),
    (Mixup(alpha=0.7), IMAGES),
    (Cutmix(probability=1.0, alpha=0.7), IMAGES),
]


# ---- one by one ----


def test_every_augmentation_is_tried_here() -> None:
    assert {type(part) for part, _ in PARTS} == set(families()["augmentation"])


def test_what_is_moved_out_is_lost_and_zeros_come_in() -> None:
    x = torch.arange(1.0, 9.0).view(2, 4)
    assert move(x, torch.tensor([1, -2]), -1).tolist() == [[0, 1, 2, 3], [7, 8, 0, 0]]
    image = torch.arange(1.0, 7.0).view(1, 1, 2, 3)
    assert move(image, torch.tensor([1]), -2)[0, 0].tolist() == [[0, 0, 0], [1, 2, 3]]
    assert move(x, torch.tensor([9, -4]), -1).tolist() == [[0.0] * 4] * 2


@pytest.mark.parametrize("most", [0.0, 0.3, 1.0, 2.75])
def test_every_offset_is_as_likely(most: float) -> None:
    draws = [
        offsets(most, normal(B), SOURCE.at(key), "here") for key in step_keys(0, torch.arange(40))
    ]
    found = torch.cat(draws).numpy()
    whole, part = int(most), most - int(most)
    expected = dict.fromkeys(range(-whole, whole + 1), 1.0)
    expected |= {whole + 1: part, -whole - 1: part} if part else {}
    assert set(found) == set(expected)
    if len(expected) > 1:
        counts = [int((found == k).sum()) for k in expected]
        shares = np.array(list(expected.values())) / sum(expected.values())
        assert stats.chisquare(counts, shares * len(found)).pvalue > 1e-3


def test_shift_and_crop_take_a_window_of_the_padded_image() -> None:
    x = normal(B, *IMAGES)
    for part, rows, columns in ((Crop(padding=2), 2, 2), (Shift(share=0.25), 2, 2)):
        found, _ = changed(part, x)
        padded = F.pad(x, (columns, columns, rows, rows))
        windows = [
            padded[:, :, i : i + 6, j : j + 8]
            for i in range(2 * rows + 1)
            for j in range(2 * columns + 1)
        ]
        hits = torch.stack([(found == window).flatten(1).all(1) for window in windows])
        assert (hits.sum(0) == 1).all(), type(part)
        if isinstance(part, Crop):
            counts = hits.sum(1).numpy()
            assert stats.chisquare(counts).pvalue > 1e-3, "every crop is as likely"


@pytest.mark.parametrize("probability", [0.1, 0.5, 1.0])
def test_flip_turns_a_share_of_the_images(probability: float) -> None:
    x = normal(B, *IMAGES)
    found, _ = changed(Flip(probability=probability), x)
    turned = (found == x.flip(3)).flatten(1).all(1)
    assert ((found == x).flatten(1).all(1) ^ turned).all()
    spread = math.sqrt(probability * (1 - probability) / B)
    assert abs(turned.double().mean().item() - probability) <= 4 * spread


def test_cutout_blanks_a_square() -> None:
    x = torch.ones(B, 2, 12, 16, dtype=torch.float64)
    found, _ = changed(Cutout(side=1 / 3), x)  # 4 pixels
    assert torch.equal(found[:, 0], found[:, 1]), "all channels alike"
    gone = found[:, 0] == 0
    rows, columns = gone.any(2), gone.any(1)
    assert torch.equal(gone, rows[:, :, None] & columns[:, None, :])
    assert rows.sum(1).max() == columns.sum(1).max() == 4
    assert rows.sum(1).min() < 4, "it may stick out"
    for cut in (rows, columns):
        for row in cut.int().tolist():
            assert "0" not in "".join(map(str, row)).strip("0")
    # In the middle, where nothing sticks out, each pixel is covered with probability 1/3 * 1/4.
    middle = gone[:, 4:8, 4:12].double().mean().item()
    assert middle == pytest.approx(1 / 12, abs=0.02)


def test_cutout_of_nothing_and_of_everything() -> None:
    centres = torch.tensor([0.0, 0.5, 4.0], dtype=torch.float64)
    assert not covered(8, LIKE.new_tensor(0.0), centres).any()
    assert covered(8, LIKE.new_tensor(16.0), centres).all()
    assert covered(8, LIKE.new_tensor(8.0), centres).sum(1).tolist() == [4, 4, 8]


def test_color_jitter_keeps_all_but_mean_and_contrast() -> None:
    x = normal(B, *IMAGES)
    found, _ = changed(ColorJitter(brightness=0.4, contrast=0.5), x)
    flat, new = x.flatten(1), found.flatten(1)
    b = new.mean(1) - flat.mean(1)
    c = new.std(1) / flat.std(1)
    again = (flat - flat.mean(1, keepdim=True)) * c[:, None] + (flat.mean(1) + b)[:, None]
    assert torch.allclose(new, again, rtol=1e-12)
    assert stats.kstest(b.numpy(), stats.uniform(-0.4, 0.8).cdf).pvalue > 1e-3
    assert stats.kstest(c.numpy(), stats.uniform(0.5, 1.0).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(b, c)[0, 1]) < 4 / math.sqrt(B)


def test_noise_is_normal_and_independent() -> None:
    x = normal(B, *TABLE)
    added = (changed(Noise(sd=0.3), x)[0] - x).numpy()
    assert stats.kstest(added.ravel(), stats.norm(0, 0.3).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(added.T) - np.eye(4)).max() < 4 / math.sqrt(B)


def test_a_time_shift_moves_whole_series() -> None:
    x = normal(B, *CHANNELS)
    found, _ = changed(TimeShift(share=2 / 9), x)
    padded = F.pad(x, (2, 2))
    hits = torch.stack([(found == padded[..., i : i + 9]).flatten(1).all(1) for i in range(5)])
    assert (hits.sum(0) == 1).all()
    assert stats.chisquare(hits.sum(1).numpy()).pvalue > 1e-3


def test_scaling_has_one_factor_for_each_channel() -> None:
    x = normal(B, *CHANNELS)
    factors = changed(Scaling(sd=0.2), x)[0] / x
    assert torch.allclose(factors, factors[..., :1].expand_as(factors), rtol=1e-12)
    assert stats.kstest(factors[..., 0].numpy().ravel(), stats.norm(1, 0.2).cdf).pvalue > 1e-3


# ---- mixup ----


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 2.0, 50.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    """min(s, 1 - s) of a symmetric s has twice its distribution function, up to 1/2."""
    site = torch.Size((2,))
    pairs = torch.stack(
        [
            SOURCE.at(key).uniform("pair", site, LIKE.dtype)
            for key in step_keys(3, torch.arange(4000))
        ]
    )
    shares = lesser_share(alpha, pairs[:, 0], pairs[:, 1]).numpy()
    assert ((shares >= 0) & (shares <= 0.5)).all()
    assert stats.kstest(shares, lambda s: 2 * stats.beta(alpha, alpha).cdf(s)).pvalue > 1e-3
    # Of another alpha they are not: the test can fail.
    assert stats.kstest(shares, lambda s: 2 * stats.beta(2 * alpha, 2 * alpha).cdf(s)).pvalue < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.2, 100.0])
def test_shares_are_numbers_whatever_is_drawn(dtype: torch.dtype, alpha: float) -> None:
    ends = torch.tensor([0.0, 2.0**-24, 0.25, 0.5, 0.75, 1 - 2.0**-24], dtype=dtype)
    u, v = torch.meshgrid(ends, ends, indexing="ij")
    shares = lesser_share(torch.tensor(alpha, dtype=dtype), u, v)
    assert ((shares >= 0) & (shares <= 0.5)).all()
    assert alpha > 0 or (shares == 0).all()


def test_mixing_classes_mixes_their_losses() -> None:
    """The loss is s CE(y_i) + (1 - s) CE(y_j), with label smoothing, too."""
    x, y = normal(B, 4), torch.randint(3, (B,), generator=torch.Generator().manual_seed(1))
    mixed, soft = changed(Mixup(alpha=1.0), x, y)
    partners, share = partners_of(x, mixed)
    onehot = F.one_hot(y, 3).double()
    assert torch.allclose(soft, (1 - share) * onehot + share * onehot[partners], rtol=1e-12)
    logits = normal(B, 3, seed=9)
    for smoothing in (0.0, 0.2):
        loss = CrossEntropy(label_smoothing=smoothing)
        both = [loss.training(logits, classes).item() for classes in (y, y[partners])]
        expected = (1 - share) * both[0] + share * both[1]
        assert loss.training(logits, soft).item() == pytest.approx(expected, rel=1e-12)


def test_mixing_numbers_mixes_the_numbers() -> None:
    x, y = normal(B, 4), normal(B, 2, seed=1)
    mixed, targets = changed(Mixup(alpha=1.0), x, y)
    partners, share = partners_of(x, mixed)
    assert torch.allclose(targets, (1 - share) * y + share * y[partners], rtol=1e-10)


def partners_of(x: torch.Tensor, mixed: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Which rows were mixed into which, and the share that they have, found from the outcome."""
    # (mixed - x) = share (x_j - x_i): the share at which a whole batch finds its partners.
    context_ = context(step_keys(5, torch.tensor([0]))[0])
    u, v = context_.noise.uniform("augmentation.mixup.share", torch.Size((2,)), x.dtype)
    share = lesser_share(1.0, u, v).item()
    assert 0.01 < share < 0.5
    wanted = x + (mixed - x) / share
    partners = torch.cdist(wanted, x).argmin(1)
    assert sorted(partners.tolist()) == list(range(len(x))), "a permutation"
    assert torch.allclose(wanted, x[partners], atol=1e-9)
    return partners, share


def test_there_is_one_share_a_step_and_another_the_next() -> None:
    x = normal(B, 4)
    first, second = (changed(Mixup(alpha=1.0), x, step=step)[0] for step in (0, 1))
    assert not torch.allclose(first, second)


# ---- cutmix ----


def boxes(alpha: float, probability: float = 1.0, steps: int = 800) -> torch.Tensor:
    """Which pixels are of another image, bool [steps, 20, 20]."""
    x = torch.arange(4.0, dtype=torch.float64).view(4, 1, 1, 1).expand(4, 2, 20, 20)
    part, y = Cutmix(probability=probability, alpha=alpha), torch.arange(4) % 3
    found = []
    for step in range(steps):
        pasted, targets = changed(part, x, y, step)
        assert torch.equal(pasted[:, 0], pasted[:, 1]), "all channels alike"
        other = pasted[:, 0] != x[:, 0]
        partners = [
            row[mask][0].item() if mask.any() else k
            for k, (row, mask) in enumerate(zip(pasted[:, 0], other, strict=True))
        ]
        share = other.flatten(1).double().mean(1, keepdim=True)
        onehot = F.one_hot(y, 3).double()
        mixture = (1 - share) * onehot + share * onehot[[int(k) for k in partners]]
        assert torch.allclose(targets, mixture, atol=1e-12), "by the area that is to be seen"
        found.append(other.any(0))
    return torch.stack(found)


def test_cutmix_pastes_a_box_of_the_share_that_was_drawn() -> None:
    masks = boxes(alpha=1.0)
    rows, columns = masks.any(2), masks.any(1)
    assert torch.equal(masks, rows[:, :, None] & columns[:, None, :])
    for cut in (rows, columns):
        for row in cut.int().tolist():
            assert "0" not in "".join(map(str, row)).strip("0"), "one box"
    # Where neither end is at the rim nothing was cut off, and height and width are alike.
    whole = ~(rows[:, 0] | rows[:, -1] | columns[:, 0] | columns[:, -1])
    assert ((rows.sum(1) - columns.sum(1)).abs()[whole] <= 1).all() and whole.sum() > 50
    # A pixel in the middle is covered by a centre within side / 2 of it both ways: with probability
    # side**2 = 1 - lam, and in the mean 1/2.
    middle = masks[:, 10, 10].double().mean().item()
    assert middle == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(len(masks)))


def test_a_share_of_the_batches_is_mixed() -> None:
    mixed = boxes(alpha=50.0, probability=0.3).flatten(1).any(1).double().mean().item()
    assert mixed == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 800))


def test_mixtures_as_plain_functions() -> None:
    x, y, order = normal(4, 2, 8, 8), normal(4, 3, seed=1), torch.tensor([1, 2, 3, 0])
    mixed, targets = mixup(x, y, 0.3, order)
    assert torch.allclose(mixed, 0.3 * x + 0.7 * x[order])
    assert torch.allclose(targets, 0.3 * y + 0.7 * y[order])
    pasted, targets = cutmix(x, y, 0.75, order, torch.tensor([0.5, 0.5]))
    assert torch.equal(pasted[..., 2:6, 2:6], x[order][..., 2:6, 2:6])
    assert (pasted != x).flatten(1).sum(1).tolist() == [2 * 16] * 4
    assert torch.allclose(targets, 0.75 * y + 0.25 * y[order])
    for mix in (mixup(x, y, 1.0, order), cutmix(x, y, 1.0, order, torch.tensor([0.5, 0.5]))):
        assert torch.equal(mix[0], x) and torch.equal(mix[1], y), "1 leaves all as it is"
    with pytest.raises(InputError, match=r"must be numbers or probabilities, got torch\.int64"):
        mixup(x, torch.arange(4), 0.5, order)


# ---- all of them ----


@pytest.mark.parametrize(("part", "shape"), PARTS)
def test_lanes_under_vmap_equal_the_same_trials_alone(
    part: AugmentationPart, shape: tuple[int, ...]
) -> None:
    lanes = 3
    x = normal(lanes, B, *shape)
    y = torch.randint(3, (lanes, B), generator=torch.Generator().manual_seed(1))
    keys = torch.stack([step_keys(seed, torch.tensor([4]))[0] for seed in range(lanes)])
    strengths = [
        {path: LIKE.new_tensor(value * (1 - 0.3 * k)) for path, value in knobs(part).items()}
        for k in range(lanes)
    ]
    stacked = {path: torch.stack([each[path] for each in strengths]) for path in strengths[0]}

    def one(x: Any, y: Any, key: Any, values: Any) -> Any:
        return bind(part, values).on_batch(x, y, context(key))

    if stacked:
        mapped = torch.func.vmap(one)(x, y, keys, stacked)
    else:
        mapped = torch.func.vmap(lambda x, y, key: one(x, y, key, {}))(x, y, keys)
    alone = [one(x[k], y[k], keys[k], strengths[k]) for k in range(lanes)]
    for found, expected in zip(mapped, zip(*alone, strict=True), strict=True):
        assert (found - torch.stack(expected)).abs().max() <= 1e-10
    assert not torch.allclose(mapped[0][0], x[0]), "nothing was changed"


@pytest.mark.parametrize(("part", "shape"), PARTS)
def test_nothing_is_written_into_the_batch(part: AugmentationPart, shape: tuple[int, ...]) -> None:
    x, y = normal(B, *shape), torch.zeros(B, dtype=torch.int64)
    found, _ = changed(part, x, y)
    assert torch.equal(x, normal(B, *shape)) and (y == 0).all()
    assert found.shape == x.shape and found.dtype == x.dtype


DIGITS = {"data": {"kind": "sklearn", "name": "digits"}, "model": {"kind": "cnn", "channels": [4]}}
STRONG = {
    "shift": {"share": 0.4},
    "crop": {"padding": 3},
    "flip": {"probability": 0.5},
    "color_jitter": {"brightness": 3.0, "contrast": 1.0},
    "cutout": {"side": 0.8},
    "noise": {"sd": 5.0},
    "mixup": {"alpha": 1.0},
    "cutmix": {"probability": 1.0},
}


def test_evaluation_sees_the_data_as_they_are(make_run: MakeRun) -> None:
    """With a learning rate of nearly 0 weights stay where they are, whatever training sees."""
    still = {"epochs": 1, "batch_lr": {"base_lr": 1e-30}, **DIGITS}
    plain = run(config(**still), make_run("plain").trial())
    strong = run(config(**still, augmentation=STRONG), make_run("strong").trial())
    assert strong["val_loss"] == plain["val_loss"] and strong["val_error"] == plain["val_error"]
    assert strong["train_loss"] != pytest.approx(plain["train_loss"], rel=1e-2)


def test_a_little_augmentation_still_learns_digits(make_run: MakeRun) -> None:
    little = {
        "shift": {"share": 0.05},
        "color_jitter": {"brightness": 0.1, "contrast": 0.1},
        "noise": {"sd": 0.1},
        "mixup": {"alpha": 0.2},
    }
    case = config(
        **DIGITS | {"model": {"kind": "mlp", "widths": [64]}},
        augmentation=little,
        epochs=12,
        batch_lr={"base_lr": 0.5, "batch_size": 32},
    )
    assert run(case, make_run().trial())["val_error"] < 0.06


def test_numbers_are_mixed_in_training(make_run: MakeRun) -> None:
    case = config(
        data={"kind": "sklearn", "name": "diabetes"}, augmentation={"mixup": {"alpha": 1.0}}
    )
    assert run(case, make_run().trial())["val_rmse"] < 70


# ---- what does not fit ----


@pytest.mark.parametrize("name", ["shift", "crop", "flip", "color_jitter", "cutout", "cutmix"])
def test_images_are_asked_for(tmp_path: Path, name: str) -> None:
    case = config(augmentation={name: STRONG[name]})
    with pytest.raises(InputError, match=rf"augmentation\.{name} is for images, got .*\(4,\)") as e:
        trainer.check(case, tmp_path)
    assert "leave it out" in e.value.hint


@pytest.mark.parametrize(("name", "setting"), [("time_shift", "share"), ("scaling", "sd")])
def test_series_are_asked_for(tmp_path: Path, name: str, setting: str) -> None:
    case = config(**DIGITS, augmentation={name: {setting: 0.1}})
    with pytest.raises(InputError, match=rf"augmentation\.{name} is for series, got .*\(1, 8, 8\)"):
        trainer.check(case, tmp_path)
    trainer.check(config(augmentation={name: {setting: 0.1}}), tmp_path)


@pytest.mark.parametrize("name", [*Augmentation.model_fields])
def test_a_text_takes_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.txt").write_text("abcdefg" * 40)
    text = {"data": {"kind": "text", "path": "t.txt", "length": 5}, "model": {"kind": "gru"}}
    series = {"time_shift": {"share": 0.1}, "scaling": {"sd": 0.1}}
    case = config(**text, augmentation={name: (STRONG | series)[name]})
    with pytest.raises(InputError, match=rf"augmentation\.{name} is for numbers, got a text") as e:
        trainer.check(case, tmp_path)
    assert "dropout.hidden" in e.value.hint


def test_some_of_every_crop_is_image(tmp_path: Path) -> None:
    trainer.check(config(**DIGITS, augmentation={"crop": {"padding": 7}}), tmp_path)
    with pytest.raises(InputError, match="got 8 for images of 8x8"):
        trainer.check(config(**DIGITS, augmentation={"crop": {"padding": 8}}), tmp_path)


@pytest.mark.parametrize("scaling", ["minmax", "none"])
def test_standard_deviations_are_those_of_z_scores(scaling: str) -> None:
    data = {"kind": "sklearn", "name": "digits", "scaling": scaling}
    for part in ({"noise": {"sd": 0.1}}, {"color_jitter": {"brightness": 0.1}}):
        with pytest.raises(ValidationError, match=r"needs data\.scaling zscore, got"):
            config(data=data, augmentation=part)
    config(data=data, augmentation={"noise": {"sd": 0.0}, "color_jitter": {"contrast": 0.1}})
