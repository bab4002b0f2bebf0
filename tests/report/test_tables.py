"""The space as a table, before anything runs."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from hpo import studyfile
from hpo.report import tables


def test_the_space_tells_scale_and_condition_of_every_parameter(write_study: Any) -> None:
    space = {
        "lr": {"low": 0.001, "high": 0.1, "log": True},
        "momentum": {"low": 0.8, "high": 0.999, "log": "complement"},
        "width": {"low": 8, "high": 64, "step": 8},
        "decay": {"choices": [None, {"rate": {"low": 0.1, "high": 0.5}}]},
    }
    study = studyfile.load(write_study(trainable="toys:environment", space=space))
    text = io.StringIO()
    Console(file=text, width=160).print(tables.space(study))
    rows = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    assert rows == [
        "space of toy",
        "parameter values scale only if",
        "lr 0.001 to 0.1 log",
        "momentum 0.8 to 0.999 log of 1 - value",
        "width 8 to 64 by 8 whole, linear",
        "decay null | rate choice",
        "decay.rate 0.1 to 0.5 linear decay is rate",
    ]


def test_the_verdict_says_how_the_study_ends(write_study: Any) -> None:
    def verdict(search: dict[str, Any], **changes: Any) -> str:
        space = {"x": {"choices": [0.1, 0.2]}}
        study = studyfile.load(write_study(space=space, search=search, **changes))
        return tables.verdict(study).partition("sampler ")[2]

    assert verdict({"sampler": "random", "trials": 8}) == "random, 8 trials"
    assert verdict({"sampler": "grid"}) == "grid, all points"
    budget = {"wall_hours": 1}
    assert verdict({"sampler": "random"}, budget=budget) == (
        "random, as many trials as the budget allows"
    )


def test_every_setting_of_every_part_says_what_may_be_written() -> None:
    text = io.StringIO()
    console = Console(file=text, width=300)
    for table in tables.parts(None):
        console.print(table)
    rows = {" ".join(line.split()) for line in text.getvalue().splitlines()}
    for row in (
        "strength [0, 1000] required weight of the sum over layers; 0: none",
        "layers all | hidden | conv | linear | list of text all whose weights: all, hidden (no "
        "head), conv, linear, or names of layers",
        "s 0 | 1 | 2 2 how local: the power of the distance, of which 0 is the logarithm",
        "half_space true | false false whether a hidden unit repels others' opposites, too",
    ):
        assert row in rows, row
    pythons = (" Union ", " Literal ", " tuple ", " dict ")
    assert not [row for row in rows if any(name in f" {row} " for name in pythons)]
