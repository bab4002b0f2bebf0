"""Whether one space is a growth of another: whatever was drawn from the old lies in the new."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hpo.records import Json
from hpo.space.ranges import Range
from hpo.space.tree import Array, Choices, Fixed, Node, Object


def extension(before: Node, now: Node, prefix: str = "space") -> list[str]:
    """What has changed from one space to another that is not a mere growth; empty if nothing.

    A range may become wider, with the same scale and step, and choices may become more, in any
    order; an old option may grow itself. All else must be equal: a fixed value that turns into a
    range would give the old trials a parameter that they were not searched with.

    Args:
        prefix: what the paths begin with.

    Returns:
        `path: was -> is`, one for each difference.
    """
    return list(_changes(before, now, prefix))


def _changes(before: Node, now: Node, path: str) -> Iterator[str]:
    match before, now:
        case Range(), Range():
            yield from _shrunk(before, now, path)
        case Choices(), Choices():
            for index in range(len(before.options)):
                yield from _lost(before, index, now, path)
        case Object(), Object():
            for key, child in before.items.items():
                if key in now.items:
                    yield from _changes(child, now.items[key], f"{path}.{key}")
                else:
                    yield f"{path}.{key}: {_text(child)} -> (absent)"
            for key, child in now.items.items():
                if key not in before.items:
                    yield f"{path}.{key}: (absent) -> {_text(child)}"
        case Array(), Array() if len(before.items) == len(now.items):
            for i, (old, new) in enumerate(zip(before.items, now.items, strict=True)):
                yield from _changes(old, new, f"{path}.{i}")
        case Fixed(), Fixed() if json.dumps(before.value) == json.dumps(now.value):
            pass
        case _:
            yield f"{path}: {_text(before)} -> {_text(now)}"


def _shrunk(before: Range, now: Range, path: str) -> Iterator[str]:
    """How a range differs from one that is at least as wide and has all the old values."""
    if before.integer != now.integer:
        yield f"{path}: {_numbers(before)} -> {_numbers(now)}"
    if before.scale != now.scale:
        yield f"{path}.log: {json.dumps(_log(before))} -> {json.dumps(_log(now))}"
    if before.step != now.step:
        yield f"{path}.step: {before.step or '(absent)'} -> {now.step or '(absent)'}"
    if now.low > before.low:
        yield f"{path}.low: {before.low} -> {now.low}"
    if now.high < before.high:
        yield f"{path}.high: {before.high} -> {now.high}"
    if (
        before.step == now.step
        and now.low <= before.low < before.high <= now.high
        and not (now.holds(before.low) and now.holds(before.high))
    ):
        yield (
            f"{path}.low: {before.low} -> {now.low}"
            f" (from there, steps of {now.step} miss {before.low})"
        )


def _lost(before: Choices, index: int, now: Choices, path: str) -> list[str]:
    """Why an option is in none of the options now; empty if it is in one."""
    option, label = before.options[index], before.labels[index]
    lost = [f"{path}: {_text(option)} -> (absent)"]
    for other, name in zip(now.options, now.labels, strict=True):
        changes = list(_changes(option, other, f"{path}.{label}"))
        if not changes:
            return []
        if name == label:
            lost = changes
    return lost


def _numbers(r: Range) -> str:
    return "whole numbers" if r.integer else "all numbers"


def _log(r: Range) -> Json:
    return {"linear": False, "log": True, "complement": "complement"}[r.scale]


def _text(node: Node) -> str:
    text = json.dumps(_written(node))
    return text if len(text) <= 60 else text[:57] + "..."


def _written(node: Node) -> Json:
    """A tree as it stands in a study file."""
    match node:
        case Fixed():
            return node.value
        case Range():
            log = {} if node.scale == "linear" else {"log": _log(node)}
            step = {} if node.step is None else {"step": node.step}
            return {"low": node.low, "high": node.high, **log, **step}
        case Choices():
            return {"choices": [_written(option) for option in node.options]}
        case Object():
            return {key: _written(child) for key, child in node.items.items()}
        case Array():
            return [_written(child) for child in node.items]
