"""What every command shares."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from hpo.errors import InputError

app = typer.Typer(
    name="hpo",
    help="Hyperparameter search for people who care how well their models generalise.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console(soft_wrap=True, highlight=False)

INTERRUPTED = 130

StudyArgument = Annotated[str, typer.Argument(help="A study file, or the name of a shipped study.")]
NameArgument = Annotated[str, typer.Argument(help="The name of a study that was run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Overrides one value of the study file."),
]
TrialsOption = Annotated[
    int | None, typer.Option("--trials", min=1, help="Trials in all, in place of the file's.")
]


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
