"""The parts of the trainer against values from elsewhere: other programs, and known formulas."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden import GOLDEN, RELATIVE
from train_helpers import config

from hpo.train.batch_lr import BatchLr
from hpo.train.data.scaling import fit_scaler
from hpo.train.drivers.single import value_and_grad
from hpo.train.initializers import Distribution, Kaiming, Normal, Orthogonal, Uniform, Xavier, fans
from hpo.train.layout import Layout, Named
from hpo.train.losses import CrossEntropy
from hpo.train.models import ModelPart
from hpo.train.models.base import OnHidden
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.normalizations import BatchNorm, LayerNorm, LocalResponseNorm, ModelState
from hpo.train.normalizations.base import Affine
from hpo.train.optimizers import AdamW
from hpo.train.regularizers import Clipping, Dropout
from hpo.train.regularizers.base import Context
from hpo.train.regularizers.max_norm import MaxNorm
from hpo.train.schedules import (
    Cosine,
    Exponential,
    InverseTime,
    NaturalExponential,
    Piecewise,
    SchedulePart,
    Triangular,
    WarmRestarts,
)
from hpo.train.step import Batch, Knobs, Step
from hpo.train.timetable import Timetable

HERE = {
    "adam_first_step",
    "batch_norm",
    "bn_scale_invariance",
    "data_scaling",
    "dropout",
    "early_stop_equals_l2",
    "grad_clip",
    "init",
    "label_smoothing",
    "layer_norm",
    "local_response_norm",
    "lr_schedules",
    "lr_schedules_torch",
    "max_norm",
    "optimizers_quadratic",
    "penalties",
}
"""Entries that are compared in this file."""

ELSEWHERE = {
    "bagging_variance": "tests/train/test_ensemble.py",
    "hyperband": "tests/search/test_pruners.py",
    "implicit_sparse_fixed_recipe": "tests/train/test_diagonal.py",
    "input_noise_equiv": "tests/functional/test_noise_methods.py",
    "random_search": "tests/search/test_samplers.py",
}
"""Entries that are compared in another file, which reads them by their name."""

LIKE = torch.empty(0, dtype=torch.float64)


def near(expected: Any, relative: float = RELATIVE) -> Any:
    return pytest.approx(expected, rel=relative)


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def test_every_entry_named_here_exists_and_is_read_where_it_is_said_to_be() -> None:
    assert HERE.isdisjoint(ELSEWHERE) and HERE | ELSEWHERE.keys() <= GOLDEN.keys()
    root = Path(__file__).parents[2]
    for entry, file in {**dict.fromkeys(HERE, __file__), **ELSEWHERE}.items():
        assert f'GOLDEN["{entry}"]' in (root / file).read_text(), entry


# ---- steps on a quadratic ----


class Line(ModelPart):
    """w . x, and no bias."""

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        return {"w": (outputs, *inputs)}

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        return F.linear(x, params["w"]), {}


PLAIN = {"optimizer": {"kind": "sgd", "momentum": 0.0}}


def descend(
    curvature: list[float],
    optimum: list[float],
    start: list[float],
    rate: float,
    steps: int,
    **changes: Any,
) -> list[list[float]]:
    """Points after each training step on the sum of curvature * (w - optimum)**2 / 2."""
    case = config(**PLAIN | changes, loss={"kind": "mse"}, precision="float64")
    case = case.model_copy(update={"model": Line()})
    layout = Layout(case.model.shapes((len(start),), 1))
    step, parts = Step(case, layout, LIKE, value_and_grad), Knobs.of(case)
    # The mean squared error of these rows is that sum.
    x = torch.diag((tensor(curvature) * len(start) / 2).sqrt())
    y = (x @ tensor(optimum))[:, None]
    params = tensor(start)
    state = step.init_state(params, parts)
    key, points = step_keys(0, torch.arange(1))[0], []
    for t in range(steps):
        batch = Batch(x, y, LIKE.new_tensor(float(t)), LIKE.new_tensor(rate), key)
        params, state, _ = step(params, state, batch, parts)
        points.append(params.tolist())
    return points


L2 = {"regularization": {"l2": {"strength": 0.1}}}
DECAY = {"regularization": {"weight_decay": {"strength": 0.1}}}
QUADRATIC: list[tuple[str, dict[str, Any], float, dict[str, Any]]] = [
    ("sgd lr=.05", {"kind": "sgd", "momentum": 0.0}, 0.05, {}),
    ("momentum lr=.05 m=.9", {"kind": "sgd", "momentum": 0.9}, 0.05, {}),
    ("momentum lr=.05 m=.9", {"kind": "sgdw", "momentum": 0.9}, 0.05, {}),
    ("nesterov lr=.05 m=.9", {"kind": "sgd", "momentum": 0.9, "nesterov": True}, 0.05, {}),
    ("sgd lr=.05 weight_decay=.1", {"kind": "sgd", "momentum": 0.0}, 0.05, L2),
    # Without momentum it is the same whether a decay passes through the gradient or not.
    ("sgd lr=.05 weight_decay=.1", {"kind": "sgdw", "momentum": 0.0}, 0.05, DECAY),
    ("adagrad lr=.1 eps=1e-10", {"kind": "adagrad"}, 0.1, {}),
    ("rmsprop lr=.01 alpha=.99 eps=1e-8", {"kind": "rmsprop"}, 0.01, {}),
    ("rmsprop lr=.01 alpha=.9", {"kind": "rmsprop", "alpha": 0.9}, 0.01, {}),
    ("adadelta lr=1 rho=.9 eps=1e-6", {"kind": "adadelta"}, 1.0, {}),
    ("adam lr=.1", {"kind": "adam"}, 0.1, {}),
    ("adam lr=.1", {"kind": "adamw"}, 0.1, {}),
    ("adam lr=.1 weight_decay=.1 (L2)", {"kind": "adam"}, 0.1, L2),
    ("adamw lr=.1 weight_decay=.1", {"kind": "adamw"}, 0.1, DECAY),
]


@pytest.mark.parametrize(
    ("name", "optimizer", "rate", "changes"),
    QUADRATIC,
    ids=[f"{optimizer['kind']}: {name}" for name, optimizer, _, _ in QUADRATIC],
)
def test_five_steps_on_a_quadratic(
    name: str, optimizer: dict[str, Any], rate: float, changes: dict[str, Any]
) -> None:
    found = descend([1, 10], [0, 0], [1, 1], rate, 5, optimizer=optimizer, **changes)
    for ours, theirs in zip(found, GOLDEN["optimizers_quadratic"]["values"][name], strict=True):
        assert ours == near(theirs)


def test_all_five_steps_but_those_of_amsgrad_are_compared() -> None:
    named = {name for name, *_ in QUADRATIC} | {"adam lr=.1 amsgrad"}
    assert named == GOLDEN["optimizers_quadratic"]["values"].keys()


def test_the_first_adam_step() -> None:
    example = GOLDEN["adam_first_step"]["example"]
    grads, part = tensor(example["g"]), AdamW()
    direction, _ = part.direction(grads, part.init_state(grads), LIKE.new_tensor(0.0))
    assert (example["lr"] * direction).tolist() == near(example["step"])


# ---- penalties and constraints ----
# The values of penalties (l1, half_l2, elastic_half) are nowhere in a step: ours act on gradients,
# directions and parameters. Nor is pinv_limit, the solution of a linear system.


def w_after_a_step(start: list[float], rate: float, **changes: Any) -> list[float]:
    """On a plateau, so that the regularizers alone move it."""
    flat = [0.0] * len(start)
    return descend(flat, flat, start, rate, 1, **changes)[0]


@pytest.mark.parametrize(
    ("name", "rate", "part"),
    [
        ("prox_l1_0_5", 0.5, {"l1": {"strength": 1.0}}),
        ("decayed_0_1x0_5", 0.1, {"l2": {"strength": 0.5}}),
        ("decayed_0_1x0_5", 0.1, {"weight_decay": {"strength": 0.5}}),
    ],
)
def test_what_a_penalty_does_in_a_step(name: str, rate: float, part: dict[str, Any]) -> None:
    penalties = GOLDEN["penalties"]
    found = w_after_a_step(penalties["w"], rate, regularization=part)
    assert found == near(penalties[name])
    assert [w == 0 for w in found] == [w == 0 for w in penalties[name]], "true zeros"


@pytest.mark.parametrize(("name", "part"), [("ridge_diag", "l2"), ("lasso_diag", "l1")])
def test_where_a_penalty_leads(name: str, part: str) -> None:
    known = GOLDEN["penalties"][name]
    penalty = {part: {"strength": float(known["alpha"])}}
    path = descend(known["H"], known["w_star"], [0, 0], 0.05, 600, regularization=penalty)
    assert path[-1] == near(known["w_tilde"])


def test_training_for_some_steps_is_like_a_penalty() -> None:
    known = GOLDEN["early_stop_equals_l2"]
    eigs, ones, zeros = known["eigs"], [1.0] * 3, [0.0] * 3
    stopped = descend(eigs, ones, zeros, known["eps"], known["tau"])
    assert stopped[-1] == near(known["gd_shrink"])
    penalty = {"l2": {"strength": known["alpha"]}}
    penalised = descend(eigs, ones, zeros, 1.0, 100, regularization=penalty)
    assert penalised[-1] == near(known["l2_shrink"])


def test_max_norm() -> None:
    """torch.renorm lands 1e-7 inside the ball, and ours on its surface."""
    known = GOLDEN["max_norm"]
    here = context(Layout({"w": (3, 2)}))
    found, _ = MaxNorm(radius=2.0).after_step(tensor(known["W"]).flatten(), {}, here)
    assert found.tolist() == near(tensor(known["out"]).flatten().tolist())


def context(layout: Layout, step: int = 0) -> Context:
    noise = NoiseSource(LIKE.device).at(step_keys(0, torch.tensor([step]))[0])
    t, rate = LIKE.new_tensor(float(step)), LIKE.new_tensor(0.1)
    return Context(t, rate, noise, layout, layout.weight_mask(LIKE))


def clipped(grads: list[float], **bounds: float) -> list[float]:
    layout = Layout({f"w{k}": (1, 1) for k in range(len(grads))})
    return Clipping(**bounds).on_grads(tensor(grads), tensor(grads), context(layout)).tolist()


def test_clipping() -> None:
    known = GOLDEN["grad_clip"]
    by_norm = clipped(known["g"], norm=5.0)
    # The 1e-6 that is added to the norm is torch's, and may be seen beyond the seventh digit.
    assert by_norm == near(known["by_norm_5"], 1e-12)
    assert by_norm == near(known["exact_by_norm_5"])
    assert clipped(known["g"], norm=known["norm"] + 1e-3) == known["g"]
    assert clipped(known["g"], value=5.0) == near(known["by_value_5"])


def test_clipping_takes_the_norm_of_all_tensors_together() -> None:
    known = GOLDEN["grad_clip"]["two_tensors"]
    grads = [*known["g1"], *known["g2"]]
    expected = [known["global_scale"] * g for g in grads]
    assert clipped(grads, norm=known["clip"]) == near(expected)


# ---- learning rates ----

SCHEDULES: list[tuple[str, SchedulePart, int]] = [
    ("piecewise [30,60,90]x0.1", Piecewise(decay=0.1, milestones=(0.3, 0.6, 0.9)), 100),
    ("inverse_time beta=.1", InverseTime(final=1 / 11), 100),
    ("exponential beta=.96", Exponential(final=0.96**100), 100),
    ("natural_exponential beta=.04", NaturalExponential(rate=4.0), 100),
    ("cosine T=100", Cosine(), 100),
    ("triangular step_size=10 lo=.01 hi=.1", Triangular(cycles=2, floor=0.1), 40),
    (
        "triangular2 (hi-lo halves each cycle)",
        Triangular(cycles=3, floor=0.1, decay=0.5),
        60,
    ),
    (
        "SGDR T0=10 mult=2 lo=.001 hi=.1",
        WarmRestarts(cycles=4, growth=2.0, floor=0.01),
        150,
    ),
]
TORCH_SCHEDULES: list[tuple[str, SchedulePart, int]] = [
    ("CosineAnnealingLR T_max=100", Cosine(), 100),
    (
        "CosineAnnealingWarmRestarts T_0=10 T_mult=2 eta_min=.001",
        WarmRestarts(cycles=4, growth=2.0, floor=0.01),
        150,
    ),
    ("ExponentialLR .96", Exponential(final=0.96**100), 100),
    ("MultiStepLR", Piecewise(decay=0.1, milestones=(0.3, 0.6, 0.9)), 100),
]
WARMUP = "linear_warmup 5 then cosine to 100"
SCALING = {"linear scaling lr=.1@256": "linear", "sqrt scaling lr=.1@256": "sqrt"}


@pytest.mark.parametrize(
    ("expected", "part", "total"),
    [
        pytest.param(GOLDEN["lr_schedules"]["values"][name], part, total, id=name)
        for name, part, total in SCHEDULES
    ]
    + [
        pytest.param(GOLDEN["lr_schedules_torch"]["values"][name], part, total, id=name)
        for name, part, total in TORCH_SCHEDULES
    ],
)
def test_schedules(expected: dict[str, float], part: SchedulePart, total: int) -> None:
    rates = 0.1 * part.factor(torch.arange(total + 1, dtype=torch.float64), total)
    assert {t: rates[int(t)].item() for t in expected} == near(expected)


def test_a_warmup_comes_before_the_schedule() -> None:
    expected = GOLDEN["lr_schedules"]["values"][WARMUP]
    case = config(
        epochs=100,
        schedule={"kind": "cosine"},
        warmup={"fraction": 0.05},
        batch_lr={"batch_size": 16, "base_lr": 0.1, "rule": "none"},
    )
    rates = Timetable.of(case, rows=16).rates
    assert {t: rates[int(t)].item() for t in expected} == near(expected)


@pytest.mark.parametrize("name", SCALING)
def test_the_learning_rate_follows_the_batch_size(name: str) -> None:
    expected = GOLDEN["lr_schedules"]["values"][name]
    found = {
        size: BatchLr(batch_size=int(size), base_lr=0.1, rule=SCALING[name]).learning_rate
        for size in expected
    }
    assert found == near(expected)


def test_all_schedules_are_compared() -> None:
    named = {name for name, _, _ in SCHEDULES} | {WARMUP} | SCALING.keys()
    assert named == GOLDEN["lr_schedules"]["values"].keys()
    torchs = {name for name, _, _ in TORCH_SCHEDULES}
    assert torchs == GOLDEN["lr_schedules_torch"]["values"].keys()


# ---- losses ----


def loss_at_gap(smoothing: float, gap: float) -> tuple[float, float]:
    """The loss where the true logit of four is larger than the others by so much; its slope."""
    leaf = LIKE.new_tensor(gap).requires_grad_()
    logits = torch.stack([leaf, *LIKE.new_zeros(3)])[None]
    loss = CrossEntropy(label_smoothing=smoothing).training(logits, torch.tensor([0]))
    (slope,) = torch.autograd.grad(loss, leaf)
    return loss.item(), slope.item()


def test_label_smoothing() -> None:
    known = GOLDEN["label_smoothing"]
    logits, classes = drawn(50, 3, 4), torch.tensor([0, 2, 3])

    def loss(smoothing: float) -> float:
        return CrossEntropy(label_smoothing=smoothing).training(logits, classes).item()

    # The textbook's strength, as the docstring of `smoothed_cross_entropy` turns it into ours.
    textbook = 0.1 * 4 / 3
    assert loss(0.0) == near(known["ce"])
    assert loss(0.1) == near(known["torch_uniform_mix"])
    assert loss(textbook) == near(known["textbook_eps_over_Kminus1"])

    least, slope = loss_at_gap(0.1, known["optimal_logit_gap_torch_K4"])
    assert least == near(known["entropy_floor_torch"]) and abs(slope) < 1e-12
    _, slope = loss_at_gap(textbook, known["optimal_logit_gap_textbook_K4"])
    assert abs(slope) < 1e-12


# ---- normalization ----


def at_unit_gain(part: Affine, z: torch.Tensor, state: Any, training: bool) -> Any:
    zeros = {name: z.new_zeros(shape) for name, shape in part.place("a", z.shape[1]).items()}
    params = part.init_params(zeros)
    return part.before(z, "a", params, state or part.init_state(params), training)


def test_batch_norm() -> None:
    known, z = GOLDEN["batch_norm"], drawn(70, 4, 3)
    trained, state = at_unit_gain(BatchNorm(), z, None, training=True)
    assert trained.flatten().tolist() == near(known["train"])
    assert state["a.mean"].tolist() == near(known["running_mean"])
    assert state["a.var"].tolist() == near(known["running_var"])
    evaluated, _ = at_unit_gain(BatchNorm(), z, state, training=False)
    assert evaluated.flatten().tolist() == near(known["eval"])


def test_weights_before_batch_norm_have_no_scale() -> None:
    known = GOLDEN["bn_scale_invariance"]
    weight, x, targets = drawn(95, 4, 3), drawn(96, 8, 3), drawn(97, 8, 4)

    def loss(w: torch.Tensor) -> tuple[torch.Tensor, ModelState]:
        # The values are for an eps of 0, which is not a setting: a constant unit would divide by 0.
        h, state = at_unit_gain(BatchNorm(eps=1e-300), x @ w.T, None, training=True)
        return (h - targets).square().mean(), state

    value, grads, _ = value_and_grad(loss, weight)
    tripled, thirds, _ = value_and_grad(loss, 3 * weight)
    assert value.item() == near(known["loss"]) and tripled.item() == near(known["loss_3W"])
    assert (grads * weight).sum(1).abs().max() <= 10 * known["grad_dot_w_max"]
    assert (grads / thirds).flatten().tolist() == near([known["grad_ratio"]] * 12)


def test_layer_norm() -> None:
    found, _ = at_unit_gain(LayerNorm(), drawn(70, 4, 3), None, training=True)
    assert found.flatten().tolist() == near(GOLDEN["layer_norm"]["train"])


def test_local_response_norm() -> None:
    known = GOLDEN["local_response_norm"]
    # Ours is AlexNet's alpha; torch divides its own by the size.
    part = LocalResponseNorm(size=5, alpha=1e-4 / 5, beta=0.75, k=1)
    found = part.after(10 * drawn(71, 1, 5, 2, 2)).flatten()
    assert found[:8].tolist() == near(known["out"]) and found.sum().item() == near(known["sum"])


def test_data_scaling() -> None:
    known = GOLDEN["data_scaling"]
    mixing = np.array([[2, 0, 0], [1, 1, 0], [0, 0.5, 0.1]])
    x = np.random.RandomState(73).standard_normal((50, 3)) @ mixing + np.array([1, -2, 3])
    assert fit_scaler(x, "minmax")(x)[0].tolist() == near(known["minmax_row0"])
    assert fit_scaler(x, "zscore")(x)[0].tolist() == near(known["zscore_row0"])
    whitening = fit_scaler(x, "pca_whitening")
    assert (whitening.scale**2).tolist() == near(known["pca_var"])
    white = whitening(x)
    assert np.abs(white[0]).tolist() == near(known["pca_whiten_row0_abs"])
    assert np.cov(white.T) == pytest.approx(np.array(known["whitened_cov_ddof1"]), abs=1e-9)


# ---- initialization ----


def sample(part: Distribution, shape: tuple[int, ...] = (100, 300)) -> torch.Tensor:
    return part.sample(shape, torch.Generator().manual_seed(0))


def factor(part: Distribution, unit: Distribution) -> float:
    """How many times the draws of `unit` those of `part` are, all of them."""
    ratios = sample(part) / sample(unit)
    assert torch.allclose(ratios, ratios[0, 0], rtol=1e-12)
    return ratios[0, 0].item()


NORMAL, UNIFORM = Normal(std=1.0), Uniform(bound=1.0)
GAINS = {
    "xavier_normal std": (Xavier(), NORMAL),
    "xavier tanh gain 5/3 std": (Xavier(gain=5 / 3), NORMAL),
    "sigmoid xavier (x4 textbook: 4*sqrt(6/(in+out)))": (
        Xavier(gain=4.0, distribution="uniform"),
        UNIFORM,
    ),
    "he_normal fan_in=300 relu std": (Kaiming(), NORMAL),
    "he leaky a=.1 std": (Kaiming(slope=0.1), NORMAL),
    "he_uniform bound": (Kaiming(distribution="uniform"), UNIFORM),
}


@pytest.mark.parametrize("name", GAINS)
def test_standard_deviations_and_bounds_of_first_weights(name: str) -> None:
    assert factor(*GAINS[name]) == near(GOLDEN["init"]["values"][name])


def test_first_weights_of_both_distributions_have_one_variance() -> None:
    known = GOLDEN["init"]["values"]["xavier_uniform fan_in=300 fan_out=100"]
    assert factor(Xavier(distribution="uniform"), UNIFORM) == near(known["bound"])
    assert factor(Xavier(), NORMAL) == near(known["std"])
    drawn_std = sample(Xavier(distribution="uniform")).std().item()
    assert drawn_std == near(known["std"], 4 / math.sqrt(2 * 30_000))


def test_fans_of_a_convolution() -> None:
    known = GOLDEN["init"]["values"]
    names = ("conv 3x3 16->32 fan_in", "conv 3x3 16->32 fan_out")
    assert fans((32, 16, 3, 3)) == tuple(known[name] for name in names)


def test_orthogonal_weights_are_orthogonal_to_rounding() -> None:
    weight = sample(Orthogonal())
    off = (weight @ weight.T - torch.eye(100, dtype=torch.float64)).abs().max().item()
    assert off <= 10 * GOLDEN["init"]["orthogonal_check"]


# ---- dropout ----


def test_dropout() -> None:
    known, h = GOLDEN["dropout"], torch.ones(500, 200, dtype=torch.float64)
    part = Dropout(hidden=1 - known["keep_p"])
    dropped = part.on_hidden(h, "here", context(Layout({"w": (1, 1)})))
    left = sorted(dropped.unique().tolist())
    assert left == near([0.0, known["inverted_train_scale"]])
    # What the textbook does to the weights at test time, ours has done in training.
    assert 1 / left[1] == near(known["textbook_test_scale"])
    spread = 4 * math.sqrt(2 / h.numel())
    assert dropped.var().item() == near((1 - known["keep_p"]) / known["keep_p"], spread)
    assert dropped.mean().item() == pytest.approx(1, abs=4 * 0.5 / math.sqrt(h.numel()))


def test_dropout_of_inputs_and_hidden_units_makes_all_subnetworks() -> None:
    part, ones, found = Dropout(input=0.5, hidden=0.5), torch.ones(1, 2), set()
    for step in range(200):
        here = context(Layout({"w": (1, 1)}), step)
        inputs, _ = part.on_batch(ones, ones, here)
        found.add((*inputs[0].tolist(), *part.on_hidden(ones, "layer", here)[0].tolist()))
    assert len(found) == GOLDEN["dropout"]["subnets_2in_2hidden"]
