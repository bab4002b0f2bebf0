"""The JSON Schema of study files, so that an editor completes and marks them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hpo import trainable as trainables
from hpo.studyfile import StudyFile

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def study_schema() -> Schema:
    """The schema of a study file: `space` is the built-in trainer's config, any value of which may
    be a distribution; for other trainables it is any mapping."""
    schema = StudyFile.model_json_schema()
    builtin = trainables.load(trainables.BUILTIN, Path()).config_type
    assert builtin is not None
    config = builtin.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    for name, definition in config.pop("$defs", {}).items():
        definitions[f"builtin.{name}"] = _vary_inside(definition)
    definitions["builtin"] = _vary_inside(config)
    schema["if"] = {"properties": {"trainable": {"const": trainables.BUILTIN}}}
    schema["then"] = {"properties": {"space": {"$ref": "#/$defs/builtin"}}}
    return {"$schema": DIALECT, "title": "hpo study file", **_finite(schema)}


def _vary_inside(schema: Schema) -> Schema:
    """A model's schema in which every field may vary. Fragments may give what is required here."""
    if "properties" not in schema:
        return _vary(schema)
    kept = {key: value for key, value in schema.items() if key not in ("required", "title")}
    fields = schema["properties"]
    kept["properties"] = {k: v if "const" in v else _vary(v) for k, v in fields.items()}
    if "kind" in schema.get("required", []):
        kept["required"] = ["kind"]
    return kept


def _vary(schema: Schema) -> Schema:
    """A value, or `{low, high}` if it is a number, or `{choices: [...]}` of such values."""
    notes: Schema = {k: schema[k] for k in ("description", "default") if k in schema}
    value = _value({k: v for k, v in schema.items() if k not in ("title", *notes)})
    forms = [value]
    forms += [_range(number) for number in _numbers(value)]
    choices = {"type": "array", "minItems": 1, "items": value}
    forms.append(_closed({"choices": choices}, ["choices"]))
    return {**notes, "anyOf": forms}


def _value(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace("#/$defs/", "#/$defs/builtin.")}
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return {"anyOf": [_value(member) for member in schema[union]]}
    if schema.get("type") == "array":
        inner: Schema = {k: [_vary(i) for i in v] for k, v in schema.items() if k == "prefixItems"}
        if isinstance(schema.get("items"), dict):
            inner["items"] = _vary(schema["items"])
        return {**schema, **inner}
    return schema


def _numbers(schema: Schema) -> list[Schema]:
    members = schema.get("anyOf", [schema])
    return [m for m in members if m.get("type") in ("number", "integer")]


def _range(number: Schema) -> Schema:
    step = {"type": number["type"], "exclusiveMinimum": 0}
    ends = {"low": number, "high": number}
    scales = [True, False] if number["type"] == "integer" else [True, False, "complement"]
    return _closed({**ends, "log": {"enum": scales}, "step": step}, list(ends))


def _closed(properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _finite(value: Any) -> Any:
    """Without defaults that JSON cannot write."""
    if isinstance(value, dict):
        return {
            k: _finite(v)
            for k, v in value.items()
            if not (isinstance(v, float) and not math.isfinite(v))
        }
    return [_finite(v) for v in value] if isinstance(value, list) else value
