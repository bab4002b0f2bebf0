"""The search space: a checked tree together with the model of a config."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from hpo.records import Json
from hpo.space.messages import rule
from hpo.space.tree import Choose, Draw, Located, Node, draw, parameters


def typed(config_type: type[BaseModel] | None, data: Json) -> Any:
    """A config as its model's instance, or as a plain dict where there is no model.

    The data is copied: validators and training code may change what they are given.

    Raises:
        pydantic.ValidationError: the model rejects it.
    """
    data = copy.deepcopy(data)
    return data if config_type is None else config_type.model_validate(data)


@dataclass(frozen=True)
class Space:
    """A config tree in which any value may be a distribution.

    Args:
        root: the tree.
        config_type: the model every config must satisfy; `None` for plain dicts.
        json: the tree as written, to compare and to keep.
    """

    root: Node
    config_type: type[BaseModel] | None
    json: Json

    @property
    def parameters(self) -> Sequence[Located]:
        return list(parameters(self.root))

    def draw(self, choose: Choose) -> Draw:
        return draw(self.root, choose)

    def config(self, data: Json) -> BaseModel | Json:
        """The typed config.

        Raises:
            pydantic.ValidationError: the model rejects it.
        """
        return typed(self.config_type, data)

    def rejects(self, data: Json) -> str | None:
        """Why the model rejects a config, in its own words; `None` if it does not."""
        try:
            self.config(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(key) for key in first["loc"])
            return f"{where}: {rule(first)}" if where else rule(first)
        except Exception as error:  # a validator may raise what it likes
            return f"{type(error).__name__}: {error}"
        return None
