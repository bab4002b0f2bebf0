"""YAML as plain data with places, and nothing but StudyFileError whatever the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpo.errors import Place, StudyFileError
from hpo.space import parse, parse_value, read
from hpo.space.document import MAX_BYTES, MAX_DEPTH

TEXT = """\
# a comment
name: digits

space:
  widths: [8, 16]
  optimizer:
    choices:
      - {kind: sgd, momentum: 0.9}
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        parse(text, "s.yaml")
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("name",), (2, 1), (2, 7)),
        (("space",), (4, 1), (5, 3)),
        (("space", "widths"), (5, 3), (5, 11)),
        (("space", "widths", 1), (5, 15), (5, 15)),
        (("space", "optimizer", "choices", 0), (8, 9), (8, 9)),
        (("space", "optimizer", "choices", 0, "momentum"), (8, 21), (8, 31)),
    ],
)
def test_keys_and_values_have_places(path, key, value):
    document = parse(TEXT, "s.yaml")
    assert document.place(path) == Place("s.yaml", *value)
    assert document.place(path, key=True) == Place("s.yaml", *key)


def test_what_is_not_there_has_the_place_of_what_is_around_it():
    document = parse(TEXT, "s.yaml")
    assert document.place(("space", "widths", 7, "x")) == document.place(("space", "widths"))
    assert document.place(("nowhere",)) == Place("s.yaml", 2, 1)


def test_part_keeps_places():
    part = parse(TEXT, "s.yaml").part(("space",))
    assert part.data["widths"] == [8, 16]
    assert part.place(("widths", 1)) == Place("s.yaml", 5, 15)
    assert part.place((), key=True) == Place("s.yaml", 4, 1)


def test_an_aliased_value_stands_where_it_is_written():
    document = parse("a: &x {lr: 1}\nb: *x\n", "s.yaml")
    assert document.data == {"a": {"lr": 1}, "b": {"lr": 1}}
    assert document.place(("b", "lr")) == Place("s.yaml", 1, 12)
    assert document.data["a"] is not document.data["b"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-0x1F", -31),
        ("0o17", 15),
        ("017", 17),
        ("1e3", 1000.0),
        ("1.0e-3", 0.001),
        (".5", 0.5),
        ("true", True),
        ("null", None),
        ("~", None),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("[]", []),
        ("{}", {}),
        ("''", ""),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\U0001f600"', "\U0001f600"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_keys_are_read_as_json_escapes_them():
    assert parse('{"\\ud83d\\ude00": 1}', "s.yaml").data == {"\U0001f600": 1}
    assert mistakes('{"\\ud83d\\ude00": 1, "\U0001f600": 2}')[0].startswith(
        "s.yaml:1:21: \U0001f600: a key stands once"
    )


@pytest.mark.filterwarnings("error")
def test_of_two_anchors_of_one_name_the_later_counts():
    assert parse("a: &x 1\nb: &x 2\nc: *x", "s.yaml").data["c"] == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "s.yaml:3:1: a: a key stands once, this one stands at line 1 too"),
        ("x:\n  a: 1\n  a: 1", "s.yaml:3:3: x.a: a key stands once"),
        ("a: &a [*a]", "s.yaml:1:4: an alias must not stand inside what it names"),
        ("a: &a {b: *a}", "s.yaml:1:4: an alias must not stand inside what it names"),
        ("a: !!python/object:os.system x", "s.yaml:1:4: a: tags are not allowed"),
        ("a: !mine 1", "s.yaml:1:4: a: tags are not allowed, got !mine"),
        ("a: &a {x: 1}\nb:\n  <<: *a", "s.yaml:3:3: b: merge keys (<<) are not allowed"),
        ("1: a", "s.yaml:1:1: a key must be a string, got 1; quote it"),
        ("null: a", "s.yaml:1:1: a key must be a string, got null; quote it"),
        ("[a]: b", "s.yaml:1:1: a key must be a plain string"),
        ("a: .inf", "s.yaml:1:4: a: numbers are finite, got .inf"),
        ("a: [-.inf]", "s.yaml:1:5: a.0: numbers are finite, got -.inf"),
        ("a: .nan", "s.yaml:1:4: a: numbers are finite, got .nan"),
        ("a: 1e999", "s.yaml:1:4: a: numbers are finite, got 1e999"),
        ("a: " + "1" * 5000, "s.yaml:1:4: a: cannot be read as int"),
        ("a: 0x" + "f" * 5000, "s.yaml:1:4: a: cannot be read as int"),
        ('a: "\\ud83d"', "s.yaml:1:4: a: text must not end in the middle of a character"),
        ('"\\ude00\\ud83d": 1', "s.yaml:1:1: text must not end in the middle of a character"),
        ("", "s.yaml:1:1: the file is empty"),
        ("# only this", "s.yaml:1:1: the file is empty"),
        ("a: b: c", "s.yaml:1:5: this is not YAML: mapping values are not allowed here"),
        ("a: [1, 2", "s.yaml:1:9: this is not YAML:"),
        ("a: *nowhere", "s.yaml:1:4: this is not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", "s.yaml:2:1: this is not YAML: expected a single document"),
        ("a: \x00", "s.yaml:1:1: this is not YAML:"),
        ("a: \ud800", "s.yaml:1:1: this is not YAML:"),
    ],
)
def test_what_is_refused_is_refused_at_its_place(text, expected):
    (found,) = mistakes(text)
    assert found.startswith(expected)


def test_all_mistakes_of_a_text_come_at_once():
    assert [m.split(": ")[0] for m in mistakes("a: .nan\n1: x\nb: !t 3\nb: 4")] == [
        "s.yaml:1:4",
        "s.yaml:2:1",
        "s.yaml:3:4",
        "s.yaml:4:1",
    ]


def test_aliases_cannot_blow_up():
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (found,) = mistakes("\n".join(levels))
    assert "at most 50000 values once aliases are expanded" in found


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 5000])
def test_depth_is_bounded(levels):
    (found,) = mistakes("[" * levels + "1" + "]" * levels)
    assert f"at most {MAX_DEPTH} levels" in found


def test_as_many_levels_as_are_allowed_are_read():
    assert (0,) * MAX_DEPTH in parse("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH, "s.yaml").values


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: \xff", "a file is UTF-8 text, byte 3 is not"),
        (b"#" * (MAX_BYTES + 1), f"a file is at most {MAX_BYTES} bytes, this one has 1048577"),
    ],
)
def test_a_file_that_cannot_be_taken(tmp_path, content, expected):
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyFileError) as caught:
        read(path)
    assert str(caught.value) == f"{path}:1:1: {expected}"


def test_text_has_the_same_bound_as_a_file():
    assert mistakes("é" * (MAX_BYTES // 2 + 1)) == [
        f"s.yaml:1:1: a file is at most {MAX_BYTES} bytes"
    ]


@pytest.mark.parametrize("path", ["missing.yaml", ".", "a\0b"])
def test_a_file_that_cannot_be_read(tmp_path, path):
    with pytest.raises(StudyFileError, match="cannot be read"):
        read(tmp_path / path if path != "a\0b" else Path(path))


@pytest.mark.parametrize(
    ("names", "path"),
    [
        ("space.widths.1", ("space", "widths", 1)),
        ("space.optimizer.choices.0.lr", ("space", "optimizer", "choices", 0, "lr")),
        ("space.optimizer", ("space", "optimizer")),
        ("space.new.deep.1", ("space", "new", "deep", "1")),
    ],
)
def test_set_puts_a_value_anywhere_and_makes_it_stand_there(names, path):
    document = parse(TEXT, "s.yaml")
    place = Place("--set", 1, 1)
    document.set(names.split("."), {"x": 9}, place)
    found = document.data
    for key in path:
        found = found[key]
    assert found == {"x": 9}
    assert document.place(path) == document.place((*path, "x")) == place
    assert document.place(("name",)) == Place("s.yaml", 2, 7)


@pytest.mark.parametrize("path", ["name.x", "space.widths.2", "space.widths.x", "", "space..a"])
def test_set_refuses_to_lead_through_what_has_no_parts(path):
    with pytest.raises(KeyError):
        parse(TEXT, "s.yaml").set(path.split("."), 9, Place("--set", 1, 1))


FRAGMENTS = st.sampled_from(
    "a:  |- |{|}|[|]|, |\n|  |&x |*x|!!int |!t |<<: |? |'|\"|>|#|%YAML 1.1\n|---\n|...\n|.inf"
    "|0x|1e999|null|~|1_0|0b1|2024-01-01|=|\t|\r|\x85|\u2028|\ufeff|é|\x00|: ".split("|")
)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.lists(FRAGMENTS, max_size=14).map("".join))
@example("!!int a")
@example("%TAG ! !\n--- !x a")
@example("&x a: *x")
@example("a: !!float x")
def test_any_text_is_data_or_a_study_file_error(text):
    try:
        document = parse(text, "s.yaml")
    except StudyFileError as error:
        assert all(m.place.line >= 1 and m.place.column >= 1 for m in error.mistakes)
    else:
        assert () in document.values
