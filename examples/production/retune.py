"""A nightly job: searches again, learning from the night before, and promotes only what is better.

    python retune.py [--study FILE] [--inline]

Run it from cron or any scheduler. Each night is a study of its own, digits-000, digits-001 and so
on; a night that was cut short is finished first. All of them share one registered model, so that
the alias moves only when a night's winner is better than the champion beyond noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import hpo
from hpo.home import Home

STUDY = Path(__file__).with_name("digits.yaml")
MODEL = "digits"


def nights(home: Home) -> list[str]:
    """The names of the nights so far, oldest first."""
    return [folder.name for folder in home.studies() if folder.name.startswith(f"{MODEL}-")]


def retune(study: Path = STUDY, inline: bool = False) -> bool:
    """One night's work; whether there is a new champion."""
    before = nights(Home.default())
    if before and not hpo.load_study(before[-1]).done:
        *before, name = before
    else:
        name = f"{MODEL}-{len(before):03d}"
    changes = {"name": name, "search.seed": str(len(before))}
    if before:
        changes["search.warm_start"] = f"[{before[-1]}]"
    hpo.run(study, overrides=changes, inline=inline)

    promotion = hpo.promote(name, model=MODEL)
    for line in promotion.comparison.lines() if promotion.comparison else ["the first champion"]:
        print(line)
    print(f"{name}: {'promoted' if promotion.promoted else 'the champion stays'}")
    return promotion.promoted


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Search again, and promote what is better.")
    parser.add_argument("--study", type=Path, default=STUDY, help="another study file")
    parser.add_argument("--inline", action="store_true", help="in this process, without Ray")
    arguments = parser.parse_args()
    retune(arguments.study, arguments.inline)
