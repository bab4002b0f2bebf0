"""Commands of the service: the same studies, on processes that outlive the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.app import (
    INTERRUPTED,
    NameArgument,
    SetOption,
    StudyArgument,
    TrialsOption,
    app,
    out,
    overrides,
)
from hpo.errors import InputError, StudyFailed
from hpo.home import Home
from hpo.urls import is_loopback

if TYPE_CHECKING:
    from hpo.service.up import Up


@app.command(name="up")
def up_(
    studies: Annotated[
        int | None, typer.Option(min=1, help="How many may run side by side.  [default: 4]")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="MLflow's database; with a password: in HPO_STORE."),
    ] = None,
    artifacts: Annotated[
        str | None, typer.Option(metavar="URI", help="Where MLflow keeps files.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    join: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Be a node of the service there, HOST:PORT."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use the Ray cluster with this job API; on its head."),
    ] = None,
    tracking: Annotated[
        str | None, typer.Option(metavar="URL", help="With --ray: use this MLflow server.")
    ] = None,
) -> None:
    """Start the service on this machine: Ray and MLflow. It goes on with what was interrupted."""
    from hpo.service import options
    from hpo.service import up as service

    home = Home.default()
    if join is not None:
        if any(each is not None for each in (studies, store, artifacts, host, ray, tracking)):
            raise InputError(
                "--join stands alone: the rest is decided by the service that this machine joins",
                "leave the other options out, or give them to the hpo up there",
            )
        was = service.join(home, join)
        out.print(f"this machine {'is' if was else 'is now'} a node of {join}", markup=False)
        return
    options.check_url("--store", store, "it in PGPASSWORD or ~/.pgpass, or the URL in HPO_STORE")
    if ray is not None or tracking is not None:
        _say_up(_adopted(home, ray, tracking, artifacts, others=(studies, store, host)))
        return
    given = options.Given(
        studies=studies,
        store=store or options.secret_store(),
        artifacts=artifacts,
        host=host,
        password=options.admin_password(host, ask=_ask_password if sys.stdin.isatty() else None),
    )
    _say_up(service.up(home, given))


def _adopted(
    home: Home,
    ray: str | None,
    tracking: str | None,
    artifacts: str | None,
    others: tuple[object, ...],
) -> Up:
    from hpo.service.adopt import adopt

    if ray is None or tracking is None or any(each is not None for each in others):
        raise InputError(
            "--ray and --tracking go together, and with --artifacts only: the rest is decided by"
            " whoever started Ray and MLflow",
            "leave out --studies, --store and --host",
        )
    return adopt(home, ray, tracking, artifacts)


def _say_up(found: Up) -> None:
    out.print(f"the service is up{' already' if found.was_up else ''}", style="bold")
    if found.differing:
        out.print("otherwise than asked for; hpo down comes first:", style="yellow")
        for line in found.differing:
            out.print(f"  {line}", style="yellow", markup=False)
    out.print(f"studies side by side: {found.service.options.studies}")
    out.print(f"MLflow: {found.tracking.url}", markup=False)
    options = found.service.options
    joined = found.service.ray is not None and not is_loopback(options.host)
    joining = f", for hpo up --join {found.service.address}" if joined else ""
    out.print(f"Ray: {found.service.jobs}{joining}", markup=False)
    if found.going_on:
        out.print(f"waiting for their turn: {', '.join(found.going_on)}", markup=False)


@app.command()
def down() -> None:
    """Stop the running studies, and then what `hpo up` has started on this machine."""
    from hpo.service import down as service

    home = Home.default()
    ended = service.down(home, say=lambda line: out.print(line, markup=False))
    out.print("the service is down" if ended else f"no service is up on {home.root}", markup=False)


@app.command()
def submit(
    study: StudyArgument,
    sets: SetOption = None,
    trials: TrialsOption = None,
    priority: Annotated[
        int | None, typer.Option(help="Higher goes first.  [default: the study file's]")
    ] = None,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="The space has grown: wider ranges or more choices."),
    ] = False,
) -> None:
    """Hand a study to the service, and walk away."""
    from hpo.service import submit as service

    done = service.submit(study, Home.default(), overrides(sets, trials), priority, extend)
    if done.turn is None:
        out.print(
            f"study {done.name} is complete, and nothing is left to run; --trials N asks for more",
            markup=False,
        )
        return
    out.print(f"study {done.name} is submitted, place {done.turn} in the queue", markup=False)
    if done.page:
        out.print(f"look at it: {done.page.url}", markup=False)
        if done.page.trouble:
            out.print(
                f"MLflow does not answer there ({done.page.trouble}); the study runs all the same,"
                " and what MLflow misses is published once it does",
                style="yellow",
                markup=False,
            )
    out.print(f"hpo watch {done.name} shows it live, hpo stop {done.name} ends it", markup=False)


@app.command()
def watch(name: NameArgument) -> None:
    """Show a submitted study live, until it ends. Ctrl-C leaves it running."""
    from rich.console import Console

    from hpo.service import watch as service

    console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    try:
        end = service.watch(name, Home.default(), console)
    except KeyboardInterrupt:
        out.print(f"detached; the study goes on, and hpo watch {name} shows it again", markup=False)
        return
    for part in end.parts:
        out.print(part)
    if end.failure:
        raise StudyFailed(end.failure)
    if not end.done:
        out.print(end.remedy, markup=False)
        sys.exit(INTERRUPTED)


@app.command()
def logs(
    name: NameArgument,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the study ends.")
    ] = False,
    trial: Annotated[
        int | None,
        typer.Option("--trial", min=0, help="What a trial printed, and its traceback."),
    ] = None,
) -> None:
    """Print what was said while a study ran."""
    from hpo.service import logs as service
    from hpo.service.standing import standing

    home = Home.default()
    paths = service.files(home.study(name), trial)

    def is_over() -> bool:
        now = standing(name, home)
        return now is None or now.state.is_over

    try:
        said = service.follow(paths[0], is_over) if follow else service.read(paths)
        silent = True
        for text in said:
            silent = False
            sys.stdout.write(text)
            sys.stdout.flush()
        if follow:
            sys.stdout.writelines(service.read(paths[1:]))
        if silent:
            out.print("nothing was said", style="dim")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@app.command()
def stop(name: NameArgument) -> None:
    """Stop a study: its running trials are saved, and `hpo resume` goes on with them."""
    from hpo.service import control

    out.print(control.stop(name, Home.default()), markup=False)


@app.command()
def resume(name: NameArgument) -> None:
    """Let a study go on that was stopped or has failed."""
    from hpo.service import control

    control.resume(name, Home.default())
    out.print(f"study {name} waits for its turn; hpo watch {name} shows it", markup=False)


@app.command()
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a study: its record, checkpoints, reports and MLflow runs. This cannot be undone."""
    from hpo.service import remove as service

    home = Home.default()
    service.check(name, home)
    if not yes:
        out.print(f"this removes {home.study(name).root} and the study's MLflow runs", markup=False)
        typer.confirm(f"remove study {name}?", abort=True)
    runs = service.remove(name, home)
    out.print(f"study {name} is gone, and {runs} MLflow runs", markup=False)


def _ask_password() -> str:
    return str(
        typer.prompt("password of MLflow's user admin", hide_input=True, confirmation_prompt=True)
    )
