"""Writes the tables of docs/study-file.md anew, from the settings themselves.

python docs/study_file.py

A table stands below a line `<!-- settings: CLASS -->`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hpo.studyfile import StudyFile

PAGE = Path(__file__).parent / "study-file.md"
TABLE = re.compile(r"(<!-- settings: (\w+) -->\n)(?:\n(?:\|.*\n)+)?")

Schema = dict[str, Any]

SCHEMA: Schema = StudyFile.model_json_schema()
CLASSES: dict[str, Schema] = {"StudyFile": SCHEMA, **SCHEMA["$defs"]}
"""The classes of settings in a study file, by name."""

_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_NAMES = {"string": "text", "object": "`{...}`", "integer": "whole number", "number": "number"}


def written(text: str) -> str:
    """A page with its tables written anew."""
    return TABLE.sub(lambda found: f"{found[1]}\n{table(CLASSES[found[2]])}", text)


def table(settings: Schema) -> str:
    """One row a setting: what may be written there, what holds otherwise, what it is."""
    rows = ["| setting | value | default | what it is |", "|---|---|---|---|"]
    for name, field in settings["properties"].items():
        if "const" in field:  # the kind, by which this class is chosen
            continue
        default = "required" if name in settings.get("required", []) else _default(field)
        rows.append(f"| `{name}` | {_values(field)} | {default} | {_about(field)} |")
    return "".join(row + "\n" for row in rows)


def _values(field: Schema) -> str:
    if "anyOf" in field:
        return " or ".join(_values(one) for one in field["anyOf"] if one.get("type") != "null")
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field or "oneOf" in field:
        return _NAMES["object"]
    if field["type"] == "array":
        return f"list of {_values(field['items'])}"
    if field["type"] == "boolean":
        return "`true`, `false`"
    bounds = [f"{sign} {field[key]:g}" for key, sign in _BOUNDS.items() if key in field]
    return ", ".join([_NAMES[field["type"]], *bounds])


def _default(field: Schema) -> str:
    value = field["default"]
    if value is None or isinstance(value, dict):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _about(field: Schema) -> str:
    """Its description; of a mapping without one, what its class says of itself."""
    if "description" not in field:
        if "$ref" not in field:
            return "see below"
        sentence = CLASSES[field["$ref"].rpartition("/")[2]]["description"].partition("\n")[0]
        return str(sentence[0].lower() + sentence[1:].rstrip("."))
    return str(field["description"]).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
