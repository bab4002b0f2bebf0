"""Two pieces of JSON side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hpo.records import Json


def differences(before: Json, now: Json, path: str = "") -> Iterator[str]:
    """`path: was -> is` for every value that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            inner = f"{path}.{key}" if path else key
            if key not in now:
                yield f"{inner}: {_show(before[key])} -> (absent)"
            elif key not in before:
                yield f"{inner}: (absent) -> {_show(now[key])}"
            else:
                yield from differences(before[key], now[key], inner)
    elif before != now or type(before) is not type(now):
        yield f"{path}: {_show(before)} -> {_show(now)}"


def _show(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
