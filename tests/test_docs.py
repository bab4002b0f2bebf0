"""What docs/ says of study files is so."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML
from test_readme import blocks

from hpo import studyfile
from hpo.errors import Place, StudyFileError
from hpo.search.settings import SamplerName
from hpo.space import Document, check
from hpo.studyfile import StudyFile

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "study-file.md").read_text()
SEARCH = (ROOT / "docs" / "search.md").read_text()


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_file", ROOT / "docs" / "study_file.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_yaml(text: str) -> Any:
    return YAML(typ="safe").load(text)


def space_of(text: str) -> Document:
    return Document({"x": load_yaml(text)}, {(): Place("shown", 1, 1)})


def test_the_tables_are_what_the_settings_say():
    assert generator().written(REFERENCE) == REFERENCE, "run python docs/study_file.py"


def test_every_setting_has_a_table():
    written = set(re.findall(r"<!-- settings: (\w+) -->", REFERENCE))
    assert written == set(generator().CLASSES) - {"NoPruner"}


def test_what_varies_is_written_as_shown():
    start = REFERENCE.index("| written | is drawn |")
    table = REFERENCE[start : REFERENCE.index("\n\n", start)]
    shown = re.findall(r"^\| `({.*?})` \|", table, re.MULTILINE)
    assert len(shown) == 6
    for text in shown:
        space = check(space_of(text), None)
        assert space.parameters[0].parameter.name == "x"


def test_what_cannot_be_written_so_is_refused():
    """The conditions in the same table."""
    for text in (
        "{low: 0.0, high: 0.1, log: true}",
        "{low: 0.8, high: 1.0, log: complement}",
        "{low: 1.0, high: 8.0, step: 1.0, log: true}",
    ):
        with pytest.raises(StudyFileError):
            check(space_of(text), None)


@pytest.mark.parametrize("block", blocks("yaml", REFERENCE + SEARCH))
def test_examples_are_valid(block, tmp_path):
    """Each laid over the shipped digits: sections of a study file, or else of its space."""
    shown = load_yaml(block)
    study = load_yaml((ROOT / "studies" / "digits.yaml").read_text())
    if set(shown) <= set(StudyFile.model_fields):
        study = {**study, "pruner": {"kind": "none"}, "final": None, **shown}
    else:
        study["space"] |= shown
    file = tmp_path / "shown.yaml"
    file.write_text(json.dumps(study))
    studyfile.load(file)


def test_every_sampler_and_pruner_is_explained():
    pruners = [
        definition["properties"]["kind"]["const"]
        for definition in StudyFile.model_json_schema()["$defs"].values()
        if "kind" in definition["properties"]
    ]
    samplers, _, rest = SEARCH.partition("What cannot work is refused")
    assert set(get_args(SamplerName)) <= explained(samplers)
    assert set(pruners) <= explained(rest.partition("## Pruners")[2])


def explained(text: str) -> set[str]:
    """What stands in the first column of tables."""
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"\w+", cell)}


def test_what_is_shown_of_the_final_stage_is_a_setting():
    text = (ROOT / "docs" / "final.md").read_text()
    first, second = (load_yaml(block) for block in blocks("yaml", text))
    StudyFile.model_validate(
        {
            "name": "shown",
            "trainable": "builtin",
            "space": {},
            "objective": {"metric": "loss"},
            "search": {"trials": 1},
            **first,
            **second,
        }
    )
