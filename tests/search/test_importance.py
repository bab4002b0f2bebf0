"""What is said of which parameters mattered."""

from __future__ import annotations

import pytest
from spaces import Search

from hpo.search.importance import importances

X = {"x": {"low": 0.0, "high": 4.0}}


def test_importances_are_shares_the_largest_first(tmp_path):
    search = Search(tmp_path / "journal", tree={**X, "y": {"low": 0.3, "high": 0.31}})
    search.run(30)
    found = importances(search.record, search.space)
    assert list(found) == ["x", "y"] and found["x"] > 0.5
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(("tree", "trials"), [(X, 30), ({**X, "y": X["x"]}, 9)])
def test_one_parameter_or_few_trials_have_none(tmp_path, tree, trials):
    search = Search(tmp_path / "journal", tree=tree)
    search.run(trials)
    assert importances(search.record, search.space) == {}
