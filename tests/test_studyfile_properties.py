"""What holds of any study file, and of any text that is taken for one."""

from __future__ import annotations

import copy
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hpo import studyfile
from hpo.errors import HpoError, StudyFileError
from hpo.space import read
from hpo.studyfile import Study

TRAINS = """
from pydantic import BaseModel, Field
class Part(BaseModel):
    kind: str = "a"
    strength: float = Field(0.1, ge=0, lt=1)
class Config(BaseModel):
    x: float = Field(0.5, ge=0, lt=1)
    n: int = Field(1, ge=1, le=10**6)
    widths: list[int] = [8]
    part: Part | None = None
    word: str = ""
    anything: object = None
def train(config: Config, trial): ...
"""

STUDY = {
    "name": "mine",
    "trainable": "trains:train",
    "use": ["part"],
    "space": {
        "x": {"low": 0.8, "high": 0.999, "log": "complement"},
        "n": {"low": 1, "high": 9, "step": 2},
        "widths": {"choices": [[8], [{"low": 8, "high": 64, "log": True}, 16]]},
        "part": {"choices": [None, {"kind": "b", "strength": {"low": 0.0, "high": 0.5}}]},
        "word": "w",
    },
    "objective": [{"metric": "loss"}, {"metric": "seconds", "direction": "minimize"}],
    "search": {"sampler": "random", "trials": 5, "seed": 7},
    "pruner": {"kind": "none"},
    "budget": {"wall_hours": 0.5, "max_failures": 3},
    "resources": {"workers": 1, "cpus": 1},
    "tracking": {"uri": "none"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies")
    (path / "trains.py").write_text(TRAINS)
    (path / "part.yaml").write_text("part: {kind: a, strength: {low: 0.1, high: 0.2}}\n")
    return path


def load(folder: Path, text: str | bytes) -> Study:
    path = folder / "s.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    return studyfile.load(path)


def dumped(data: Any) -> str:
    writer, stream = YAML(typ="safe"), io.StringIO()
    writer.sort_base_mapping_type_on_output = False
    # Two errors of the writer: U+0085 as it is reads as a line break, escapes are folded wrongly.
    writer.allow_unicode, writer.width = False, 10**6
    writer.dump(data, stream)
    return stream.getvalue()


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """Study files without mistakes, with values of every kind in them."""
    low = draw(st.floats(0, 0.5))
    x = draw(
        st.sampled_from(
            [
                {"low": low, "high": low + 0.25},
                {"low": low, "high": low + 0.25, "log": "complement"},
                {"low": low + 1e-5, "high": low + 0.1, "log": True},
                low,
            ]
        )
    )
    anything = draw(st.lists(JSON, min_size=1, max_size=3, unique_by=json.dumps))
    space = {**STUDY["space"], "x": x, "word": draw(WORDS), "anything": {"choices": anything}}
    search = {
        "sampler": "random",
        "trials": draw(st.integers(1, 99)),
        "seed": draw(st.integers(0, 9)),
    }
    budget = {
        "no_improvement": draw(st.none() | st.integers(1, 9)),
        "max_failures": draw(st.integers(1, 9)),
    }
    return {**STUDY, "space": space, "search": search, "budget": budget}


@settings(max_examples=60, deadline=None)
@given(studies())
def test_the_yaml_of_a_study_is_that_study(folder, data):
    try:
        study = load(folder, json.dumps(data))
    except StudyFileError as error:
        # A list or mapping that reads as a malformed range among the values of every kind.
        assert all("space.anything" in m.path for m in error.mistakes), error
        assume(False)
    again = load(folder, dumped(study.file.model_dump(mode="json")))
    assert again.file == study.file
    assert again.space.root == study.space.root
    assert json.dumps(again.space.json) == json.dumps(study.space.json)


NASTY = [
    "!!python/object/apply:os.getcwd []", "!!binary aGk=", "!!set {a}", "!!omap [a: 1]",
    "!<tag:yaml.org,2002:int> x", "!!float nan", "!!timestamp x", "&a *a", "*nowhere", "<<: *a",
    "{<<: {a: 1}}", "? [a]\n: b", "%YAML 1.1\n---\n", "%TAG ! x\n---\n", "---\n---\n", "...\n",
    "|\n x", ">-\n x", "\t", "\r", "\x00", "\x07", "\x85", "\u2028", "\ufeff", "\ud800", "é",
    "\U0001f600",
    "1e999", "-.inf", ".nan", "0x" + "f" * 5000, "0o" + "7" * 6000, "9" * 5000, "1_000", "0b1",
    "1:2:3", "2024-13-45", "12:99", "null", "~", "=", "{}", "[]", "[[[[", "}}}}", ": : :", "- - -",
    "'", '"', '"\\x"', '"\\ud800"', "a" * 3000, "[" * 200, "{a: " * 200, "- " * 300, "#", "@", "`",
    "{low: 1}", "{low: 0x" + "f" * 400 + ", high: 1}", "{choices: []}",
    "{choices: {low: 0, high: 1}}",
    "{low: 0, high: 1, log: [1]}", "{low: 1, high: 9007199254740993}", "{low: -0.0, high: 0.0}",
    "{low: 1e-320, high: 1e-310, log: true}", "{low: 0, high: 5e-324, step: 5e-324}",
    "{low: 1e308, high: 1.7e308, log: true}", "{low: 0.0, high: 1.0e-17, log: complement}",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good study file with something torn out, doubled or put in."""
    text = dumped(STUDY)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 30))
        into = draw(st.sampled_from([*NASTY, "", text[start:end] * 2]) | st.text(max_size=8))
        text = text[:start] + into + text[end:]
    return text


@st.composite
def with_another_value(draw: st.DrawFn) -> str:
    """A good study file, one of whose values is another."""
    study = copy.deepcopy(STUDY)
    path = draw(st.sampled_from(list(paths(study))))
    at: Any = study
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = "@@"
    into = draw(st.sampled_from(NASTY) | JSON.map(json.dumps))
    return json.dumps(study).replace('"@@"', into)


def paths(data: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, child in items:
        yield (*above, key)
        yield from paths(child, (*above, key))


BILLION_LAUGHS = "\n".join(
    ["a0: &a0 lol", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12))]
)


def only_refuses(act: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            act()
        except HpoError as error:
            assert str(error)


@settings(max_examples=200, deadline=None)
@given(mutated() | with_another_value())
@example("name: " + "x" * 10**6)
@example("a: " * 5000)
@example("[" * 100_000)
@example("? " * 5000)
@example(BILLION_LAUGHS)
@example("space: &s {a: *s}")
@example("{'': 1}")
@example("a: &a 1\nb: &a 2")
@example(json.dumps({**STUDY, "trainable": "x" * 300 + ":train"}))
def test_any_text_is_a_study_or_refused(folder, text):
    only_refuses(lambda: load(folder, text))


@settings(max_examples=100, deadline=None)
@given(st.text() | st.binary() | st.sampled_from(NASTY))
def test_any_bytes_are_read_or_refused(folder, content):
    path = folder / "any.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
    only_refuses(lambda: read(path))
    only_refuses(lambda: studyfile.load(path))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["space.x", "space.part.choices.1.kind", "search.seed", "use.0", "objective"])
    | st.text(max_size=8),
    st.sampled_from(NASTY) | st.text(max_size=8),
)
def test_any_override_is_taken_or_refused(folder, target, text):
    path = folder / "good.yaml"
    path.write_text(json.dumps(STUDY))
    only_refuses(lambda: studyfile.load(path, {target: text}))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20))
@example("a" * 5000)
@example("\x00")
@example(".")
@example("\ud800")
def test_any_name_is_a_file_or_refused(name):
    only_refuses(lambda: studyfile.load(name))


def test_the_study_that_is_mutated_is_good(folder):
    study = load(folder, json.dumps(STUDY))
    assert len(study.space.parameters) == 6
    with pytest.raises(StudyFileError):
        load(folder, json.dumps({**STUDY, "name": "No Name"}))
