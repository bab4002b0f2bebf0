"""Commands that put what was found to use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hpo.cli.app import Format, NameArgument, app
from hpo.errors import InputError


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
    from hpo.report.best import answer
    from hpo.report.kept import kept_of
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
