"""The `final:` section of a study file."""

from __future__ import annotations

from pydantic import Field

from hpo.settings import Settings


class FinalSettings(Settings):
    """When the search is over, the best candidates run again over fresh seeds, and one wins."""

    top_k: int = Field(5, ge=1, le=100, description="candidates: the best configs of the search")
    repeats: int = Field(5, ge=2, le=100, description="runs of each, every one from another seed")
    refit: bool = Field(
        False,
        description="the winner is trained once more, on training and validation rows together",
    )
