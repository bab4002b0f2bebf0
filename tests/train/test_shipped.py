"""What is shipped runs: both ends of every range and every choice, and the user's function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from train_helpers import Run

from hpo import studyfile, trainable
from hpo.train.config import TrainConfig
from hpo.trainable import TrialStopped

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
SPACES = sorted(path.stem for path in (ROOT / "search_spaces").glob("*.yaml"))


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def tree(study: str) -> dict[str, Any]:
    """The space of a study with the files it uses."""
    file = read(ROOT / "studies" / f"{study}.yaml")
    merged: dict[str, Any] = {}
    for name in file.get("use", []):
        merged |= read(ROOT / "search_spaces" / f"{name}.yaml")
    return merged | file["space"]


def corners(node: Any) -> Iterator[Any]:
    """Configs that together take both ends of every range and every choice at least once."""
    if isinstance(node, dict) and "choices" in node:
        for choice in node["choices"]:
            yield from corners(choice)
    elif isinstance(node, dict) and "low" in node:
        yield node["low"]
        yield node["high"]
    elif isinstance(node, dict):
        below = {key: list(corners(value)) for key, value in node.items()}
        for i in range(max(map(len, below.values()), default=1)):
            yield {key: values[i % len(values)] for key, values in below.items()}
    else:
        yield node


@pytest.mark.parametrize("name", SPACES)
def test_search_spaces_fit_the_config(name: str) -> None:
    space = read(ROOT / "search_spaces" / f"{name}.yaml")
    base = {"data": {"kind": "sklearn", "name": "digits"}, "model": {"kind": "mlp"}}
    found = [
        TrainConfig.model_validate(
            base | corner | {"model": base["model"] | corner.get("model", {})}
        )
        for corner in corners(space)
    ]
    assert len(found) >= 2


@pytest.mark.parametrize("name", [name for name in STUDIES if name != "user_function"])
def test_corners_of_the_studies_run(name: str, tmp_path: Path) -> None:
    file = read(ROOT / "studies" / f"{name}.yaml")
    trainer = trainable.load(file["trainable"], ROOT / "studies")
    objectives = {objective.metric for objective in studyfile.load(name).objectives}
    for i, corner in enumerate(corners(tree(name))):
        config = TrainConfig.model_validate(corner | {"epochs": 1})
        metrics = trainer.metrics(config)
        assert metrics is not None and objectives <= metrics
        trainer.check(config, tmp_path)
        run = Run(tmp_path / str(i))
        result = trainer.run(config, run.trial())
        assert result is not None and metrics <= set(result)


def test_the_users_function_resumes_where_it_was(tmp_path: Path) -> None:
    train = trainable.load("user_function:train", ROOT / "studies")
    assert train.config_type is not None
    config = train.config_type(learning_rate=0.3, epochs=6)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts", stop_at=2)
    result = train.run(config, whole.trial())
    with pytest.raises(TrialStopped):
        train.run(config, parts.trial())
    parts.stop_at = None
    assert train.run(config, parts.trial()) == result
    assert result is not None and result["val_error"] < 0.2
    assert [report.step for report in parts.reports] == [1, 2, 2, 3, 4, 5, 6]
    assert train.run(config, parts.trial()) == result, "done already"


def test_corners_of_the_users_function_run(tmp_path: Path) -> None:
    train = trainable.load("user_function:train", ROOT / "studies")
    assert train.config_type is not None
    for i, corner in enumerate(corners(tree("user_function"))):
        config = train.config_type.model_validate(corner | {"epochs": 1})
        assert set(train.run(config, Run(tmp_path / str(i)).trial()) or {}) >= {"val_error"}
