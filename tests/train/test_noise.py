from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from hpo.train.noise import Noise, NoiseSource, derive, mix, step_keys

SHAPE = torch.Size((64, 128))
SOURCE = NoiseSource(torch.device("cpu"))


def uniform(seed: int, step: int, site: str = "a") -> np.ndarray:
    """Words as numbers in [0, 1)."""
    words = SOURCE.at(step_keys(seed, torch.tensor([step]))[0]).words(site, SHAPE)
    return (words.numpy().astype(np.float64) + 2**31) / 2**32


def chi_square(values: np.ndarray, bins: int = 64) -> float:
    """How many standard deviations the bin counts' chi-square lies from its mean."""
    counts = np.histogram(values, bins=bins, range=(0, 1))[0]
    expected = values.size / bins
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float((statistic - (bins - 1)) / np.sqrt(2 * (bins - 1)))


def test_the_finalizer_is_lowbias32() -> None:
    # From the author's C code, by hand: https://github.com/skeeto/hash-prospector
    def reference(x: int) -> int:
        x ^= x >> 16
        x = (x * 0x7FEB352D) % 2**32
        x ^= x >> 15
        x = (x * 0x846CA68B) % 2**32
        return x ^ (x >> 16)

    words = [0, 1, 2, 12345, 2**31, 2**32 - 1]
    expected = [reference(w) for w in words]
    assert [mix(w) for w in words] == expected
    assert mix(torch.tensor(words)).tolist() == expected
    assert mix(np.array(words)).tolist() == expected
    assert len(set(mix(np.arange(2**16)).tolist())) == 2**16


@pytest.mark.parametrize("step", range(5))
def test_words_are_uniform(step: int) -> None:
    assert abs(chi_square(uniform(3, step).ravel())) < 5
    assert abs(uniform(3, step).mean() - 0.5) < 4 / np.sqrt(12 * SHAPE.numel())


def test_each_element_is_uniform_over_steps() -> None:
    keys = step_keys(11, torch.arange(2000))
    small = torch.Size((4, 4))
    draws = np.stack([SOURCE.at(key).words("a", small).numpy().ravel() for key in keys])
    values = (draws.astype(np.float64) + 2**31) / 2**32
    assert all(abs(chi_square(column, bins=20)) < 5 for column in values.T)
    correlation = np.corrcoef(values.T) - np.eye(16)
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)
    lagged = [np.corrcoef(column[1:], column[:-1])[0, 1] for column in values.T]
    assert np.abs(lagged).max() < 5 / np.sqrt(2000)


@pytest.mark.parametrize(
    "other",
    [uniform(3, 1), uniform(4, 0), uniform(3, 0, "b"), uniform(3, 2**20)],
    ids=["step", "seed", "site", "far step"],
)
def test_steps_seeds_and_sites_are_independent(other: np.ndarray) -> None:
    first = uniform(3, 0)
    n = SHAPE.numel()
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(n)
    both = ((first < 0.2) & (other < 0.2)).mean()
    assert abs(both - 0.04) < 4 * np.sqrt(0.04 * 0.96 / n)


def test_neighbours_in_rows_and_columns_are_independent() -> None:
    values = uniform(5, 9)
    for a, b in ((values[1:], values[:-1]), (values[:, 1:], values[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2, 0.5, 0.9])
def test_keep_has_the_rate_asked_for(rate: float) -> None:
    kept = torch.stack(
        [
            SOURCE.at(key).keep(torch.tensor(rate), "a", SHAPE)
            for key in step_keys(1, torch.arange(20))
        ]
    )
    spread = np.sqrt(rate * (1 - rate) / kept.numel())
    assert abs(kept.double().mean().item() - (1 - rate)) <= 4 * spread


def test_noise_is_equal_to_the_bit_alone_and_under_vmap() -> None:
    keys = torch.stack([step_keys(seed, torch.tensor([17]))[0] for seed in (1, 2, 3)])
    rates = torch.tensor([0.1, 0.3, 0.5])

    def keep(key: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        return Noise(SOURCE, key).keep(rate, "a", SHAPE)

    lanes = torch.func.vmap(keep)(keys, rates)
    alone = torch.stack([keep(key, rate) for key, rate in zip(keys, rates, strict=True)])
    assert torch.equal(lanes, alone)


def draws(kind: str, dtype: torch.dtype, steps: int = 10) -> torch.Tensor:
    keys = step_keys(2, torch.arange(steps))
    return torch.stack([getattr(SOURCE.at(key), kind)("a", SHAPE, dtype) for key in keys])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_numbers(dtype: torch.dtype) -> None:
    found = draws("uniform", dtype)
    assert found.dtype == dtype and found.min() >= 0 and found.max() < 1
    assert stats.kstest(found.numpy().ravel(), stats.uniform.cdf).pvalue > 1e-3
    assert torch.equal(found.double(), draws("uniform", torch.float64)), "precision changes nothing"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_numbers(dtype: torch.dtype) -> None:
    found = draws("normal", dtype).double().numpy().ravel()
    assert stats.kstest(found, stats.norm.cdf).pvalue > 1e-3
    n = found.size
    moments = {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0}
    for power, value in moments.items():
        spread = np.sqrt(stats.norm.moment(2 * power) - value**2)
        assert abs((found**power).mean() - value) < 4 * spread / np.sqrt(n)
    assert 3.5 < np.abs(found).max() < 5.5


def test_the_ends_of_the_words_are_finite_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = torch.tensor([-(2**31), -1, 0, 2**31 - 1], dtype=torch.int32)
    monkeypatch.setattr(Noise, "words", lambda *_: ends)
    noise = SOURCE.at(ends[0])
    for dtype in (torch.float32, torch.float64):
        uniform = noise.uniform("a", ends.shape, dtype)
        assert uniform.tolist() == [0.0, 0.5 - 2.0**-24, 0.5, 1 - 2.0**-24]
        normal = noise.normal("a", ends.shape, dtype)
        assert torch.isfinite(normal).all() and torch.equal(normal, -normal.flip(0))


@pytest.mark.parametrize("n", [1, 2, 5, 1000])
def test_permutations_have_every_row_once(n: int) -> None:
    keys = step_keys(4, torch.arange(20))
    found = torch.stack([SOURCE.at(key).permutation("a", n) for key in keys])
    assert torch.equal(found.sort(1).values, torch.arange(n).expand(20, n))
    assert n < 1000 or len({tuple(row) for row in found.tolist()}) == 20


def test_every_order_is_as_likely() -> None:
    keys = step_keys(6, torch.arange(6000))
    found = [tuple(SOURCE.at(key).permutation("a", 4).tolist()) for key in keys]
    counts = [found.count(order) for order in itertools.permutations(range(4))]
    assert sum(counts) == 6000 and stats.chisquare(counts).pvalue > 1e-3


def test_two_numbers_of_a_step_are_independent_over_steps() -> None:
    pair = torch.Size((2,))
    for site in ("a", "b", "c"):
        found = torch.stack(
            [
                SOURCE.at(key).uniform(site, pair, torch.float64)
                for key in step_keys(8, torch.arange(6000))
            ]
        ).numpy()
        counts = np.histogram2d(*found.T, bins=10, range=[(0, 1), (0, 1)])[0]
        assert stats.chisquare(counts.ravel()).pvalue > 1e-3, site


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_numbers_are_equal_to_the_bit_alone_and_under_vmap(kind: str) -> None:
    keys = torch.stack([step_keys(seed, torch.tensor([17]))[0] for seed in (1, 2, 3)])

    def one(key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = Noise(SOURCE, key)
        shape = torch.Size((7, 13))
        return getattr(noise, kind)("a", shape, torch.float32), noise.permutation("a", 99)

    lanes = torch.func.vmap(one)(keys)
    for found, expected in zip(lanes, zip(*map(one, keys), strict=True), strict=True):
        assert torch.equal(found, torch.stack(expected))


def test_derived_seeds_depend_on_every_label() -> None:
    seeds = {derive(s, label, e) for s in range(20) for label in ("order", "x") for e in range(20)}
    assert len(seeds) == 800
    assert derive(1, "order", 2) == derive(1, "order", 2)
    assert all(0 <= seed < 2**32 for seed in seeds)
