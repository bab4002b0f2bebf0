"""Commands that put what was found to use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hpo.cli.app import NameArgument, app, out
from hpo.errors import InputError
from hpo.formats import Format
from hpo.home import Home

ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@ALIAS]",
        help="A study, an alias of its registered model, or the folder of a bundle.",
    ),
]
CodeOption = Annotated[
    Path | None,
    typer.Option("--code", help="Where the code of an alias or a bundle is looked up first."),
]

_COMPARED = "NAME (its winner, or its best trial), NAME:TRIAL or NAME:baseline."


@app.command()
def best(
    name: ReferenceArgument,
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
    code: CodeOption = None,
) -> None:
    """Print the best config, ready to parse; with several objectives, list the Pareto set."""
    from hpo.files import write_atomically
    from hpo.reuse.best import answer
    from hpo.reuse.loading import source_of
    from hpo.trainable import Scale

    source = source_of(name, code=code)
    text, said = answer(source, form, trial, Scale(batch_size, epochs, workers))
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
def promote(
    name: NameArgument,
    alias: Annotated[str, typer.Option("--alias", help="What it is to be known as.")] = "champion",
    model: Annotated[
        str | None,
        typer.Option("--model", help="The registered model's name; default: the study's."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Though it is not better than the holder beyond noise.")
    ] = False,
    trial: Annotated[
        int | None,
        typer.Option("--trial", min=0, help="Which one, where several objectives have several."),
    ] = None,
) -> None:
    """Register the best of a finished study as a model, and give it an alias."""
    from hpo.reuse.promote import promote

    done = promote(name, alias, model=model, force=force, trial=trial)
    known = f"{done.model}@{alias}"
    if done.comparison is not None:
        out.print(f"beside the present {known}:", style="bold", markup=False)
        for line in done.comparison.lines():
            out.print(f"  {line}", markup=False)
    if not done.promoted:
        out.print(
            f"{known} stays as it is; --force replaces it all the same",
            style="yellow",
            markup=False,
        )
        sys.exit(1)
    out.print(
        f"{known} is version {done.version} of the registered model {done.model!r}", markup=False
    )
    out.print(f"use it: hpo.load_best('{known}')", markup=False)
    if done.served:
        out.print(
            f"serve it: MLFLOW_TRACKING_URI={done.registry} mlflow models serve"
            f" -m models:/{known} --env-manager local",
            markup=False,
        )


@app.command()
def reproduce(
    name: ReferenceArgument,
    repeats: Annotated[
        int | None, typer.Option("--repeats", min=1, help="Seeds to run; default: all.")
    ] = None,
    code: CodeOption = None,
) -> None:
    """Run the best config again from its bundle, and say whether its metric is met."""
    from hpo.reuse.reproduce import reproduce

    def say(done: int, total: int) -> None:
        if done < total:
            out.print(f"run {done + 1} of {total}", markup=False)

    found = reproduce(name, repeats=repeats, code=code, observer=say)
    for rerun in found.reruns:
        out.print(str(rerun), style="green" if rerun.met else "yellow", markup=False)
    for line in found.differences or ["nothing differs in code, packages and data"]:
        out.print(line, markup=False)
    if not found.met:
        sys.exit(1)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help=_COMPARED)],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    repeats: Annotated[
        int, typer.Option("--repeats", min=2, help="Seeds; runs that are missing are run now.")
    ] = 5,
    inline: Annotated[bool, typer.Option("--inline", help="In this process, without Ray.")] = False,
) -> None:
    """Compare two studies, or two configs of studies, seed by seed."""
    from hpo import compare as comparing
    from hpo.report.live import LiveView

    home = Home.default()
    one, other = comparing.find(first, home), comparing.find(second, home)
    for line in (
        *comparing.check(one, other, repeats),
        *comparing.to_run(one, other, repeats),
    ):
        out.print(line, markup=False)
    # Bound to this stdout: while Ray works, sys.stdout is the engine's log.
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    with LiveView(console, f"{first} and {second}", one.study.objectives) as view:
        found = comparing.compare(one, other, repeats, home=home, inline=inline, observer=view.show)
    for line in found.lines():
        out.print(line, markup=False)
