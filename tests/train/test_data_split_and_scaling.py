from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hpo.errors import DataError
from hpo.train.data.scaling import fit_scaler
from hpo.train.data.split import Split


@pytest.mark.parametrize("shares", [(0.2, 0.2), (0.1, 0.3), (0.45, 0.45)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_split_takes_every_row_once_and_balances_classes(
    shares: tuple[float, float], seed: int
) -> None:
    classes = np.random.default_rng(5).choice(4, size=500, p=[0.6, 0.25, 0.1, 0.05])
    split = Split(validation=shares[0], test=shares[1], seed=seed)
    train, validation, test = split.indices(classes)
    assert sorted([*train, *validation, *test]) == list(range(500))
    assert len(test) == round(500 * shares[1]) and len(validation) == round(500 * shares[0])
    for rows in (train, validation, test):
        for label in range(4):
            share = len(rows) / 500
            expected = (classes == label).sum() * share
            assert abs((classes[rows] == label).sum() - expected) <= 2


def test_a_split_depends_on_its_seed_alone() -> None:
    strata = np.zeros(50, dtype=np.int64)
    first, again, other = (Split(seed=s).indices(strata)[2] for s in (3, 3, 4))
    assert first.tolist() == again.tolist() != other.tolist()


def test_rows_of_a_test_split_stay_there_and_the_others_are_shared() -> None:
    classes = np.random.default_rng(5).choice(3, size=500)
    split = Split(validation=0.25, seed=1)
    train, validation, test = split.indices(classes, test_rows=100)
    assert test.tolist() == list(range(400, 500))
    assert sorted([*train, *validation]) == list(range(400)) and len(validation) == 100
    for label in range(3):
        expected = (classes[:400] == label).sum() / 4
        assert abs((classes[validation] == label).sum() - expected) <= 1
    other = split.indices(np.concatenate([classes[:400], np.zeros(9, dtype=int)]), test_rows=9)
    assert other[0].tolist() == train.tolist(), "it depends on the others' classes alone"


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.2)])
def test_a_split_must_leave_rows_to_train_on(shares: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="validation \\+ test < 1 must hold"):
        Split(validation=shares[0], test=shares[1])


X = np.random.RandomState(73).standard_normal((50, 3)) @ np.array(
    [[2, 0, 0], [1, 1, 0], [0, 0.5, 0.1]]
) + np.array([1, -2, 3])


def test_scaling_known_values() -> None:
    zscore = fit_scaler(X, "zscore")(X)[0]
    assert zscore.tolist() == pytest.approx(
        [1.4960640188973708, 2.999339827010716, 2.2597145981207643], rel=1e-6
    )
    minmax = fit_scaler(X, "minmax")(X)[0]
    assert minmax.tolist() == pytest.approx([0.7088519598218486, 1.0, 1.0], rel=1e-6)
    assert fit_scaler(X, "none")(X).tolist() == X.tolist()


def test_whitening_known_values() -> None:
    scaler = fit_scaler(X, "pca_whitening")
    z = scaler(X)
    assert (scaler.scale**2).tolist() == pytest.approx(
        [4.691301171272966, 1.1088568427564938, 0.006331547263551605], rel=1e-9
    )
    assert np.abs(z[0]).tolist() == pytest.approx(
        [1.8969436096145817, 2.294428790064977, 0.511074720123009], rel=1e-9
    )
    assert np.allclose(np.cov(z.T, ddof=1), np.eye(3), atol=1e-10)
    assert np.abs(z.mean(0)).max() < 1e-12
    assert scaler.rotation is not None
    assert (scaler.rotation.max(0) >= -scaler.rotation.min(0)).all(), "signs are no accident"


def test_whitening_is_fitted_once_and_holds_for_other_rows() -> None:
    scaler = fit_scaler(X, "pca_whitening")
    assert np.allclose(scaler(X[:5]), scaler(X)[:5], rtol=1e-12)
    assert not np.allclose(np.cov(scaler(3 * X).T), np.eye(3), atol=0.1)


@pytest.mark.parametrize("share", [1e-7, 1e-5])
def test_whitening_drops_directions_without_variance(share: float) -> None:
    """A fourth column that is a sum of others, but for a share of noise; and a constant one."""
    noise = np.random.default_rng(1).normal(size=50)
    x = np.column_stack([X, X[:, 0] + X[:, 1] + share * noise, np.full(50, 7.0)])
    scaler = fit_scaler(x, "pca_whitening")
    columns = 3 if share**2 < 1e-12 else 4
    assert scaler(x).shape == (50, columns)
    assert np.allclose(np.cov(scaler(x).T), np.eye(columns), atol=1e-6)


def test_whitening_of_fewer_rows_than_columns() -> None:
    x = np.random.default_rng(0).normal(size=(6, 20))
    z = fit_scaler(x, "pca_whitening")(x)
    assert z.shape == (6, 5) and np.allclose(np.cov(z.T), np.eye(5), atol=1e-10)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((5, 1, 8, 8)), r"for tables, got examples of shape \(1, 8, 8\)"),
        (np.tile([1.0, 2.0], (9, 1)), "the 9 of the training split are all alike"),
    ],
)
def test_whitening_refuses_what_has_no_directions(x: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_scaler(x, "pca_whitening")


@pytest.mark.parametrize("scaling", ["zscore", "minmax"])
def test_what_never_varies_becomes_zero(scaling: str) -> None:
    x = np.column_stack([np.full(7, 0.1), np.arange(7.0)])
    scaled = fit_scaler(x, scaling)(x)
    assert np.abs(scaled[:, 0]).max() < 1e-15
    assert scaled[:, 1].std() > 0


def test_images_are_scaled_by_channel() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3, 4, 4)) * np.array([1, 5, 9])[:, None, None]
    scaled = fit_scaler(x, "zscore")(x)
    assert np.allclose(scaled.std(axis=(0, 2, 3)), 1) and np.allclose(scaled.mean((0, 2, 3)), 0)
    assert scaled[:, :, 0, 0].std() != pytest.approx(1, abs=1e-6), "not by pixel"
