"""What an experiment says of its studies: a saved view for each, and a note that leads there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpo.track import addresses, contents, views
from hpo.track.addresses import Addresses

if TYPE_CHECKING:
    from mlflow import MlflowClient


def guide(
    client: MlflowClient,
    tags: dict[str, str],
    experiment: str,
    studies: Sequence[tuple[str, str]],
    view: tuple[str, str] | None = None,
) -> None:
    """Brings an experiment's note up to date, sets a view, and removes those of deleted studies.

    A note that somebody else wrote stays. Again is harmless, and takes no call.

    Args:
        tags: of the experiment, as they were before `studies` were searched for: of every view
            that is there, the study is then found, too.
        studies: the name and the run of each, the newest first.
        view: the name and the value of its tag.
    """
    wanted = dict([view] if view else [])
    if addresses.is_ours(tags.get(contents.NOTE, "")):
        places = [(name, Addresses(experiment, parent)) for name, parent in studies]
        wanted[contents.NOTE] = addresses.note(places)
    for name, value in wanted.items():
        if tags.get(name, "") != value:
            client.set_experiment_tag(experiment, name, value)
    for name in views.stale(tags, {parent for _, parent in studies}):
        client.delete_experiment_tag(experiment, name)
