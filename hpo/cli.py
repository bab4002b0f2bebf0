"""The command line: commands, no logic."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from hpo.errors import HpoError, InputError
from hpo.home import Home

app = typer.Typer(
    name="hpo",
    help="Hyperparameter search for people who care how well their models generalise.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console(soft_wrap=True, highlight=False)

INTERRUPTED = 130

Format = Literal["yaml", "json", "env"]

StudyArgument = Annotated[str, typer.Argument(help="A study file, or the name of a shipped study.")]
NameArgument = Annotated[str, typer.Argument(help="The name of a study that was run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Overrides one value of the study file."),
]
TrialsOption = Annotated[
    int | None, typer.Option("--trials", min=1, help="Trials in all, in place of the file's.")
]


def main() -> None:
    """The entry point: errors of the project are told in its own words, without a traceback."""
    try:
        app()
    except HpoError as error:
        kind = "" if isinstance(error, InputError) else "the study failed: "
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"{kind}{error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever reads our output has gone, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        Console(stderr=True, soft_wrap=True, markup=False).print(f"the study failed: {error}")
        sys.exit(1)


def overrides(pairs: list[str] | None, trials: int | None = None) -> dict[str, str]:
    """`--set` as a mapping.

    Raises:
        InputError: an entry is not path=value.
    """
    found = {}
    for pair in pairs or []:
        path, equals, value = pair.partition("=")
        if not (equals and path):
            raise InputError(
                f"--set takes path=value, got {pair!r}", "for example --set space.epochs=5"
            )
        found[path] = value
    if trials is not None:
        found["search.trials"] = str(trials)
    return found


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
    from hpo.report import plan, tables

    checked = studyfile.load(study, overrides(sets, trials))
    out.print(tables.space(checked))
    for line in plan.lines(checked, Home.default()):
        out.print(line, markup=False)
    out.print(tables.configs(plan.first_draws(checked, 10)))


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

    checked = studyfile.load(study, overrides(sets, trials))
    command = shlex.join(["hpo", *sys.argv[1:]])
    # Bound to this stdout: while Ray works, sys.stdout is the engine's log.
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    logging.getLogger("hpo").addHandler(Notes(console))
    view = LiveView(console, checked.name, checked.objectives)
    try:
        with view:
            result = studies.run(checked, inline=inline, extend=extend, observer=view.show)
    except KeyboardInterrupt:
        out.print(f"stopped at once; nothing that finished is lost; to continue: {command}")
        sys.exit(INTERRUPTED)
    for part in status.result(result):
        out.print(part)
    if not result.done:
        out.print(f"stopped; to continue: {command}", markup=False)
        sys.exit(INTERRUPTED)


@app.command(name="list")
def list_() -> None:
    """List the studies in this home and how far they are."""
    from hpo.report import status
    from hpo.result import StudyResult, load_study

    home = Home.default()
    found = home.studies()
    if not found:
        out.print(f"no studies in {home.root}; hpo run STUDY makes one", markup=False)
        return
    rows: list[StudyResult | tuple[str, HpoError]] = []
    for folder in found:
        try:
            rows.append(load_study(folder.name, home))
        except HpoError as error:
            rows.append((folder.name, error))
    out.print(status.studies(rows))


@app.command(name="status")
def status_(name: NameArgument) -> None:
    """Show how far a study is, its best trial so far, and what was spent."""
    from hpo.report import status
    from hpo.result import load_study

    for part in status.status(load_study(name)):
        out.print(part)


@app.command()
def sync(name: NameArgument) -> None:
    """Publish to the tracker what it has missed of a study."""
    from hpo.publishing import sync

    shown, trouble = sync(name)
    if trouble:
        out.print(f"the tracker is still behind: {trouble}", style="yellow", markup=False)
        out.print("once it answers, run this again")
        sys.exit(1)
    out.print(f"the tracker shows {shown} trials of study {name}", markup=False)


@app.command()
def best(
    name: NameArgument,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = "yaml",
    out_file: Annotated[Path | None, typer.Option("--out", help="Write to a file.")] = None,
    trial: Annotated[
        int | None,
        typer.Option("--trial", min=0, help="Which one, where several objectives have several."),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Move it there by the study's coupling rule."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Move it to another length.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option("--workers", min=1, help="Data-parallel processes that share a step."),
    ] = 1,
) -> None:
    """Print the best config, ready to parse; with several objectives, list the Pareto set."""
    from hpo.files import write_atomically
    from hpo.report.best import answer, kept_of
    from hpo.trainable import Scale

    text, said = answer(kept_of(name), form, trial, Scale(batch_size, epochs, workers))
    notes = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in said:
        notes.print(line, markup=False)
    if out_file is None:
        sys.stdout.write(text)
    else:
        try:
            write_atomically(out_file, text)
        except OSError as error:
            raise InputError(f"{out_file} cannot be written: {error.strerror}") from None
        notes.print(f"wrote {out_file}", markup=False)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
) -> None:
    """Open the MLflow UI on this home, on loopback."""
    from hpo.track.ui import serve

    # Ended by SIGTERM it ends its server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    server = serve(Home.default(), host, port)
    out.print(f"MLflow UI: {server.page} (Ctrl-C ends it)", markup=False)
    try:
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


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
