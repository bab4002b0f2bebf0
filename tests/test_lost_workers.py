"""When work that was lost with its workers is tried no more."""

from __future__ import annotations

from hpo.losses import MAX_DEATHS, MAX_LOSSES, Losses


def test_each_trial_has_its_own_losses():
    losses = Losses()
    assert not any(losses.lost(0) for _ in range(MAX_LOSSES - 1))
    assert not losses.lost(1)
    assert losses.lost(0)


def test_only_deaths_in_a_row_count():
    losses = Losses()
    assert not any(losses.died() for _ in range(MAX_DEATHS - 1))
    losses.recovered()
    assert not any(losses.died() for _ in range(MAX_DEATHS - 1))
    assert losses.died() and losses.deaths == MAX_DEATHS
