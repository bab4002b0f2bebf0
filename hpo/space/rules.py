"""What must hold of the numbers of a range: each broken rule with the value and a remedy."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, TypeGuard

from hpo.space.ranges import Range, is_multiple, steps_above

MAX_WHOLE = 2**53  # floats, as samplers use them, do not tell larger ones apart


def is_number(value: Any) -> TypeGuard[float]:
    """A number that a float can hold; an int may be larger than that."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max


def broken(r: Range) -> Iterator[tuple[str | None, str]]:
    """Every rule that a range breaks: the key at fault (`None`: the range as a whole), and words.

    All numbers in it are finite.
    """
    if not r.low < r.high:
        yield (
            "low",
            f"low < high must hold, got low={r.low}, high={r.high};"
            " exchange them, or write a fixed value",
        )
    if not is_number(r.high - r.low):
        yield None, f"high - low must be a finite number, got low={r.low}, high={r.high}"
        return
    if r.scale == "log" and r.low <= 0:
        yield "low", f"a log range needs low > 0, got low={r.low}; raise low or remove log"
    elif r.scale == "complement" and r.high >= 1:
        yield (
            "high",
            f"a complement range needs high < 1, got high={r.high}; lower high or remove log",
        )
    elif r.scale != "linear" and r.low < r.high and _as_one(r):
        yield (
            None,
            "the ends of a range must differ in the logarithm,"
            f" got low={r.low}, high={r.high}; remove log",
        )
    if r.step is not None:
        yield from (("step", message) for message in _broken_by_step(r, r.step))
    if r.integer:
        yield from _broken_by_whole_numbers(r)


def _as_one(r: Range) -> bool:
    least, most = r.internal_bounds
    return math.log(least) == math.log(most)


def _broken_by_step(r: Range, step: float) -> Iterator[str]:
    span = r.high - r.low
    if step <= 0:
        yield f"step > 0 must hold, got {step}"
    elif r.scale != "linear":
        yield "log and step exclude each other; remove one"
    elif max(span, abs(r.low), abs(r.high)) / step > MAX_WHOLE:
        yield f"step must be at least 2**-53 of the ends and of high - low, got step={step}"
    elif span > 0 and not is_multiple(span, step):
        last = steps_above(r.low, math.floor(span / step), step)
        yield (
            f"step must divide high - low, got low={r.low}, high={r.high}, step={step};"
            + (f" high={last:.15g} would do" if step < span else " it must not exceed it")
        )


def _broken_by_whole_numbers(r: Range) -> Iterator[tuple[str | None, str]]:
    numbers = {"low": r.low, "high": r.high, "step": r.step}
    given = {name: number for name, number in numbers.items() if number is not None}
    shown = ", ".join(f"{name}={number}" for name, number in given.items())
    if not all(float(number).is_integer() for number in given.values()):
        yield None, f"the field holds whole numbers, got {shown}"
    elif r.scale == "complement":
        yield (
            "log",
            f"a complement range holds fractions, not whole numbers, got {shown}; remove log",
        )
    elif max(abs(r.low), abs(r.high)) > MAX_WHOLE:
        yield None, f"whole numbers in a range are at most 2**53, got {shown}"
