"""Models of sequences equal torch's own modules on the same weights, and remember."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from train_helpers import Run, config, outputs_of

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.initializers import Constant
from hpo.train.layout import Layout
from hpo.train.models import Gru, Lstm, ModelPart, Transformer
from hpo.train.models.recurrent import Recurrent
from hpo.train.problem import assemble
from hpo.train.task import Window

B, L, V, WIDTH = 4, 9, 7, 6
TEXT = Window(L, V)
SERIES = (3, L)


def parameters(model: ModelPart, inputs: tuple[int, ...], outputs: int) -> dict[str, torch.Tensor]:
    layout = Layout(model.shapes(inputs, outputs))
    generator = torch.Generator().manual_seed(0)
    return layout.split(torch.randn(layout.size, generator=generator, dtype=torch.float64) * 0.5)


def under(params: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): p for name, p in params.items() if name.startswith(prefix)}


def batch(inputs: tuple[int, ...]) -> torch.Tensor:
    if isinstance(inputs, Window):
        return torch.randint(V, (B, L), generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, *inputs, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("inputs", [TEXT, SERIES, (L,)])
@pytest.mark.parametrize(("part", "module"), [(Lstm, nn.LSTM), (Gru, nn.GRU)])
@pytest.mark.parametrize("layers", [1, 3])
def test_recurrent_layers_equal_torchs(
    part: type[Recurrent], module: type[nn.RNNBase], layers: int, inputs: tuple[int, ...]
) -> None:
    model = part(width=WIDTH, layers=layers)
    params = parameters(model, inputs, V)
    x = batch(inputs)
    entered = x
    if isinstance(inputs, Window):
        entered = params["embedding.weight"][x]
    else:
        entered = x[:, :, None] if x.ndim == 2 else x.transpose(1, 2)
    rnn = module(entered.shape[2], WIDTH, layers, batch_first=True, dtype=torch.float64)
    rnn.load_state_dict(under(params, "rnn."))
    states, _ = rnn(entered)
    states = states if isinstance(inputs, Window) else states[:, -1]
    expected = states @ params["head.weight"].T + params["head.bias"]
    found = outputs_of(model, params, x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-10


@pytest.mark.parametrize("inputs", [TEXT, SERIES, (L,)])
def test_a_transformer_equals_torchs(inputs: tuple[int, ...]) -> None:
    model = Transformer(width=WIDTH, layers=2, heads=2, hidden=11)
    params = parameters(model, inputs, V)
    x = batch(inputs)
    layer = nn.TransformerEncoderLayer(
        WIDTH, 2, 11, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64
    )
    norm = nn.LayerNorm(WIDTH, dtype=torch.float64)
    net = nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)
    own = ("embedding", "input", "positions", "head")
    net.load_state_dict({name: p for name, p in params.items() if not name.startswith(own)})
    if isinstance(inputs, Window):
        h = math.sqrt(WIDTH) * params["embedding.weight"][x] + params["positions.weight"]
        mask = nn.Transformer.generate_square_subsequent_mask(L, dtype=torch.float64)
        h = net(h, mask=mask, is_causal=True)
    else:
        steps = x[:, :, None] if x.ndim == 2 else x.transpose(1, 2)
        h = steps @ params["input.weight"].T + params["input.bias"] + params["positions.weight"]
        h = net(h).mean(1)
    expected = h @ params["head.weight"].T + params["head.bias"]
    assert (outputs_of(model, params, x) - expected).abs().max() < 1e-10


@pytest.mark.parametrize(
    "model", [Lstm(width=WIDTH), Gru(width=WIDTH), Transformer(width=WIDTH, heads=2)]
)
def test_no_character_is_seen_before_its_turn(model: ModelPart) -> None:
    params = parameters(model, TEXT, V)
    x = batch(TEXT)
    changed = x.clone()
    changed[:, 5] = (x[:, 5] + 1) % V
    before, after = outputs_of(model, params, x), outputs_of(model, params, changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(2).all()


def test_a_shorter_window_has_the_same_outputs() -> None:
    for model in (Lstm(width=WIDTH), Transformer(width=WIDTH, heads=2)):
        params, x = parameters(model, TEXT, V), batch(TEXT)
        whole, part = outputs_of(model, params, x), outputs_of(model, params, x[:, :4])
        assert torch.allclose(whole[:, :4], part, rtol=1e-12)


def first_values(folder: Path, model: dict[str, Any], **changes: Any) -> dict[str, torch.Tensor]:
    (folder / "t.txt").write_text("abcdefg" * 40)
    data = {"kind": "text", "path": "t.txt", "length": 6}
    problem = assemble(config(data=data, model=model, precision="float64", **changes), folder)
    return problem.layout.split(problem.initial_params(3))


def test_forget_gates_start_open(tmp_path: Path) -> None:
    found = first_values(tmp_path, {"kind": "lstm", "width": 2, "layers": 2, "forget_bias": 1.5})
    for layer in (0, 1):
        assert found[f"rnn.bias_ih_l{layer}"].tolist() == [0, 0, 1.5, 1.5, 0, 0, 0, 0]
        assert found[f"rnn.bias_hh_l{layer}"].tolist() == [0] * 8
    assert (found["embedding.weight"] != 0).all()


@pytest.mark.parametrize(
    ("model", "name", "count"),
    [
        ({"kind": "lstm", "width": 5}, "rnn.weight_hh_l0", 4),
        ({"kind": "gru", "width": 5}, "rnn.weight_ih_l0", 3),
        ({"kind": "transformer", "width": 6, "heads": 2}, "layers.0.self_attn.in_proj_weight", 3),
        ({"kind": "transformer", "width": 6, "heads": 2}, "layers.1.self_attn.out_proj.weight", 1),
    ],
)
def test_each_matrix_of_a_stack_is_drawn_on_its_own(
    tmp_path: Path, model: dict[str, Any], name: str, count: int
) -> None:
    found = first_values(tmp_path, model, initialization={"kind": "orthogonal"})
    matrices = found[name].chunk(count)
    for matrix in matrices:
        assert matrix.shape == (model["width"], model["width"])
        eye = torch.eye(len(matrix), dtype=torch.float64)
        assert torch.allclose(matrix @ matrix.T, eye, atol=1e-12)
    assert len({tuple(matrix[0].tolist()) for matrix in matrices}) == count


def test_norms_start_at_one_and_positions_as_sinusoids(tmp_path: Path) -> None:
    found = first_values(tmp_path, {"kind": "transformer", "width": 5, "heads": 1, "layers": 1})
    for name in ("layers.0.norm1", "layers.0.norm2", "norm"):
        assert found[f"{name}.weight"].tolist() == [1] * 5
        assert found[f"{name}.bias"].tolist() == [0] * 5
    assert (found["embedding.weight"] != 0).all()
    positions = found["positions.weight"]
    assert positions.shape == (6, 5)
    assert positions[0].tolist() == [0, 1, 0, 1, 0]
    angle = 3 / 10000 ** (2 / 5)
    third = [math.sin(3), math.cos(3), math.sin(angle), math.cos(angle)]
    assert positions[3, :4].tolist() == pytest.approx(third, rel=1e-12)


def test_first_values_that_a_model_gives_itself_may_be_zeros(tmp_path: Path) -> None:
    """As the only position is, where the width is 1; weights that were drawn may not."""
    (tmp_path / "t.txt").write_text("abcdefg" * 40)
    chosen = config(
        data={"kind": "text", "path": "t.txt", "length": 1},
        model={"kind": "transformer", "width": 1, "heads": 1, "layers": 1},
    )
    problem = assemble(chosen, tmp_path)
    assert problem.layout.split(problem.initial_params(0))["positions.weight"].tolist() == [[0.0]]
    tiny = chosen.model_copy(update={"initialization": Constant(value=1e-60)})
    with pytest.raises(InputError, match=r"those of embedding\.weight are"):
        assemble(tiny, tmp_path).initial_params(0)


def test_embeddings_and_positions_are_exempt_from_penalties() -> None:
    model = Transformer(width=4, heads=2, layers=1)
    layout = Layout(model.shapes(TEXT, V), model.exempt)
    weights = {name for name in layout.shapes if layout.is_penalised(name)}
    assert weights == {
        "layers.0.self_attn.in_proj_weight",
        "layers.0.self_attn.out_proj.weight",
        "layers.0.linear1.weight",
        "layers.0.linear2.weight",
        "head.weight",
    }
    masked = layout.split(layout.weight_mask(torch.empty(0)))
    assert {name for name, mask in masked.items() if mask.any()} == weights


@pytest.mark.parametrize("kind", ["lstm", "gru", "transformer"])
def test_it_remembers_what_was_before(tmp_path: Path, kind: str) -> None:
    """After an a the next character is the one that did not come last: one step is not enough."""
    (tmp_path / "t.txt").write_text("abac" * 400)
    chosen = config(
        data={"kind": "text", "path": "t.txt", "length": 15},
        model={"kind": kind, "width": 16},
        optimizer={"kind": "adam"},
        batch_lr={"batch_size": 8, "base_lr": 0.01, "base_batch_size": 8},
        epochs=12,
    )
    run = Run(tmp_path)
    result = trainer.run(chosen, run.trial())
    assert result is not None
    # Only what comes first in a window has nothing before it; guessing there is all that is wrong.
    assert result["val_error"] < 0.08
    assert result["val_loss"] < 0.15
    assert run.reports[0].metrics["val_loss"] > 3 * result["val_loss"], "it was learned"


@pytest.mark.parametrize("kind", ["lstm", "gru", "transformer"])
def test_series_of_several_channels(tmp_path: Path, kind: str) -> None:
    """Whether the pulse of the second channel comes in the second half; there is one in the first
    channel, too."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    x = rng.normal(scale=0.1, size=(300, 2, 12))
    x[np.arange(300), 0, rng.integers(12, size=300)] += 3
    x[np.arange(300), 1, rng.integers(6, size=300) + 6 * y] += 3
    np.savez(tmp_path / "a.npz", x=x, y=y)
    chosen = config(
        data={"kind": "npz", "path": "a.npz", "series": True},
        model={"kind": kind, "width": 16},
        optimizer={"kind": "adam"},
        batch_lr={"batch_size": 20, "base_lr": 0.01, "base_batch_size": 20},
        epochs=12,
    )
    result = trainer.run(chosen, Run(tmp_path).trial())
    assert result is not None and result["val_error"] < 0.1


@pytest.mark.parametrize("kind", ["lstm", "gru", "transformer"])
def test_images_are_refused(tmp_path: Path, kind: str) -> None:
    digits = config(data={"kind": "sklearn", "name": "digits"}, model={"kind": kind})
    with pytest.raises(InputError, match="needs a text, or series") as caught:
        trainer.check(digits, tmp_path)
    assert "data.series: true" in caught.value.hint


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ValidationError, match="heads must divide width, got 3 heads of width 16"):
        config(model={"kind": "transformer", "width": 16, "heads": 3})


@pytest.mark.parametrize("kind", ["mlp", "cnn", "diagonal", "autoencoder", "multitask"])
def test_models_that_take_no_characters_say_which_do(tmp_path: Path, kind: str) -> None:
    (tmp_path / "t.txt").write_text("abcdefg" * 40)
    text = config(data={"kind": "text", "path": "t.txt", "length": 5}, model={"kind": kind})
    with pytest.raises(InputError, match="the data are for next_character") as caught:
        trainer.check(text, tmp_path)
    assert caught.value.hint == "use model kind gru or lstm or transformer"


def test_characters_cannot_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcdefg" * 40)
    text = {"data": {"kind": "text", "path": "t.txt", "length": 5}, "model": {"kind": "gru"}}
    with pytest.raises(InputError, match=r"dropout\.input is for numbers, got 0\.1"):
        trainer.check(config(**text, dropout={"input": 0.1}), tmp_path)
    trainer.check(config(**text, dropout={"hidden": 0.1}), tmp_path)
