"""Commands that check a study file, or run it here."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer
from rich.console import Console

from hpo.cli.app import (
    INTERRUPTED,
    SetOption,
    StudyArgument,
    TrialsOption,
    app,
    out,
    overrides,
)
from hpo.home import Home

PLANNED = 10
"""Configs that a plan shows."""


@app.command()
def validate(study: StudyArgument, sets: SetOption = None) -> None:
    """Check a study file; print every mistake with its place, or the space as a table."""
    from hpo import studyfile
    from hpo.report import tables

    checked = studyfile.load(study, overrides(sets))
    out.print(tables.space(checked))
    out.print(tables.verdict(checked), style="green")


@app.command()
def plan(study: StudyArgument, sets: SetOption = None, trials: TrialsOption = None) -> None:
    """Show what would run: parameters, grid size, first configs, expected cost. Runs nothing."""
    from hpo import studyfile
    from hpo.report import fusing, plan, tables

    checked = studyfile.load(study, overrides(sets, trials))
    out.print(tables.space(checked))
    for line in plan.lines(checked, Home.default()):
        out.print(line, markup=False)
    packs = checked.file.resources.pack != "off"
    draws = plan.first_draws(checked, fusing.LOOKED_AT if packs else PLANNED)
    if packs:
        for line in fusing.lines(checked, draws):
            out.print(line, markup=False)
    out.print(tables.configs(draws[:PLANNED]))


@app.command()
def run(
    study: StudyArgument,
    sets: SetOption = None,
    trials: TrialsOption = None,
    inline: Annotated[bool, typer.Option("--inline", help="In this process, without Ray.")] = False,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="The space has grown: wider ranges or more choices."),
    ] = False,
) -> None:
    """Run a study here with live progress. Run it again to continue it."""
    import logging

    from hpo import study as studies
    from hpo import studyfile
    from hpo.report import status
    from hpo.report.live import LiveView, Notes
    from hpo.service import control

    checked = studyfile.load(study, overrides(sets, trials))
    home = Home.default()
    home.make()
    control.refuse_queued(checked.name, home)
    command = shlex.join(["hpo", *sys.argv[1:]])
    # Bound to this stdout: while Ray works, sys.stdout is the engine's log.
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    logging.getLogger("hpo").addHandler(Notes(console))
    view = LiveView(console, checked.name, checked.objectives)
    try:
        with view:
            result = studies.run(
                checked, inline=inline, extend=extend, home=home, observer=view.show
            )
    except KeyboardInterrupt:
        out.print(f"stopped at once; nothing that finished is lost; to continue: {command}")
        sys.exit(INTERRUPTED)
    for part in status.result(result):
        out.print(part)
    if not result.done:
        out.print(f"stopped; to continue: {command}", markup=False)
        sys.exit(INTERRUPTED)


@app.command()
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    import json

    from hpo.schema import study_schema

    sys.stdout.write(json.dumps(study_schema(), indent=1) + "\n")


@app.command()
def parts(family: Annotated[str | None, typer.Argument(help="One family only.")] = None) -> None:
    """List every built-in part with its settings, ranges and reference."""
    from hpo.report import tables

    for table in tables.parts(family):
        out.print(table)
