from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param, _validate_tag

from hpo.track.contents import cut, flatten, key


@given(st.text())
@example("../up")
@example("a//b")
@example("/")
@example(".")
@example("val/acc@1")
@example("x" * 300)
def test_mlflow_takes_every_key(text: str) -> None:
    name = key(text)
    _validate_metric_name(name)
    _validate_param(name, "value")
    _validate_tag(name, "value")
    assert 0 < len(name) <= 250


def test_good_names_stay() -> None:
    for name in ("val_error", "optimizer.lr", "val/accuracy", "top 5", "a:b", "x-1"):
        assert key(name) == name


def test_configs_become_dotted_paths() -> None:
    config = {
        "on": True,
        "none": None,
        "rate": 1e-5,
        "empty": {},
        "widths": [8, 8],
        "parts": [{"kind": "l2", "strength": 0.1}, {"kind": "dropout"}],
    }
    assert flatten(config) == {
        "on": "true",
        "none": "null",
        "rate": "1e-05",
        "empty": "{}",
        "widths": "[8, 8]",
        "parts.0.kind": "l2",
        "parts.0.strength": "0.1",
        "parts.1.kind": "dropout",
    }


def test_long_text_says_that_it_goes_on() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
