"""Values, durations and configs as people read them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hpo.records import Json, Objectives, TrialRecord


def digits(value: Json) -> str:
    """A value for people: floats to four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(3.21), duration(75), duration(7265)
    ('3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "trial"), count(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def values_line(trial: TrialRecord, objectives: Objectives) -> str:
    """What a trial reached, by metric, on one line; a pruned one may lack some."""
    return metrics_line(
        {o.metric: value for o, value in zip(objectives, trial.values, strict=False)}
    )


def metrics_line(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {digits(value)}" for name, value in metrics.items())


def params_line(params: Mapping[str, Json]) -> str:
    """Searched values for people, on one line."""
    return ", ".join(f"{name}={digits(value)}" for name, value in params.items())


def yaml(value: Mapping[str, Json] | list[Json]) -> str:
    """A config, or a list of them, as YAML, its innermost levels on one line as in a study file."""
    writer = YAML(typ="safe", pure=True)
    children = value.values() if isinstance(value, Mapping) else value
    # None: a level without levels below it goes on one line; the outermost never does.
    nested = any(isinstance(child, Mapping | list) for child in children)
    writer.default_flow_style = None if nested else False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = 100
    # What YAML 1.1 would misread is written for it: many parsers still take 1e-05 for text.
    writer.version = (1, 1)
    plain = dict(value) if isinstance(value, Mapping) else value
    stream = io.StringIO()
    writer.dump(plain, stream)
    text = stream.getvalue().removeprefix("%YAML 1.1\n---\n")
    # Some texts, such as "?x" within a list, are written so that they cannot be read.
    # JSON is YAML, too.
    if _read(text) == plain:
        return text
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def _read(text: str) -> Json:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):  # ValueError: a text such as "._" taken for a number
        return None
