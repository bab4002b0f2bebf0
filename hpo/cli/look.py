"""Commands that show how studies are."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.app import INTERRUPTED, NameArgument, app, out
from hpo.errors import HpoError
from hpo.home import Home

if TYPE_CHECKING:
    from hpo.standing import Standing
    from hpo.track.login import Address

MAX_LINKS = 10


@app.command(name="list")
def list_() -> None:
    """List the studies in this home and how far they are."""
    from hpo.report import status
    from hpo.result import load_study
    from hpo.service.standing import standing

    home = Home.default()
    found = home.studies()
    if not found:
        out.print(f"no studies in {home.root}; hpo run STUDY makes one", markup=False)
        return
    rows: list[tuple[str, object, Standing | None]] = []
    for folder in found:
        try:
            result: object = load_study(folder.name, home)
            stands = standing(folder.name, home)
        except HpoError as error:
            result, stands = error, None
        rows.append((folder.name, result, stands))
    out.print(status.studies(rows))


@app.command(name="status")
def status_(name: NameArgument) -> None:
    """Show how far a study is, its best trial so far, and what was spent."""
    from hpo.report import status
    from hpo.result import load_study
    from hpo.service.standing import standing

    home = Home.default()
    for part in status.status(load_study(name, home), standing(name, home)):
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
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
) -> None:
    """Open the MLflow UI on this home, on loopback."""
    from hpo.track import home_server
    from hpo.track.login import Address
    from hpo.track.ui import serve

    home = Home.default()
    up = home_server.running(home)
    if up is not None:
        out.print(f"MLflow UI: {up.url}, of the service that hpo up started", markup=False)
        _print_views(home_server.address(home, up))
        return
    # Ended by SIGTERM it ends its server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    server = serve(home, host, port)
    out.print(f"MLflow UI: {server.page} (Ctrl-C ends it)", markup=False)
    try:
        _print_views(Address(server.url))
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


def _print_views(server: Address) -> None:
    """The addresses of the newest studies; none where the server does not let us in."""
    from hpo.track.listing import shown

    with contextlib.suppress(OSError):
        for name, address in shown(server)[:MAX_LINKS]:
            out.print(f"  {name}: {address}", markup=False)
