"""Parameters as Optuna knows them: their names, distributions and values.

Choices go by their labels. A complement goes as 1 minus its value, under a name that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo.records import Json
from hpo.space import Choices, Parameter


def optuna_name(parameter: Parameter) -> str:
    """The parameter's name in Optuna's study."""
    if isinstance(parameter, Choices) or parameter.scale != "complement":
        return parameter.name
    return f"1 - {parameter.name}"


def distribution(parameter: Parameter) -> BaseDistribution:
    """The parameter's range or choices."""
    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.labels)
    low, high = parameter.internal_bounds
    log = parameter.scale != "linear"
    if parameter.integer:
        return IntDistribution(int(low), int(high), log, int(parameter.step or 1))
    return FloatDistribution(low, high, log, parameter.step)


def to_optuna(
    parameters: Mapping[str, Parameter], params: Mapping[str, Json]
) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """What Optuna is told of a trial's parameters.

    Args:
        parameters: those of the space, by name.
        params: of a `Draw`: for each active parameter its value, or the label of its option.

    Returns:
        values and distributions, both by Optuna's name.
    """
    values, distributions = {}, {}
    for name, value in params.items():
        parameter = parameters[name]
        known_as = optuna_name(parameter)
        distributions[known_as] = distribution(parameter)
        values[known_as] = value if isinstance(parameter, Choices) else parameter.internal(value)
    return values, distributions


def from_optuna(parameter: Parameter, value: Any) -> float:
    """The value of a range, or the index of an option, for what an Optuna sampler drew."""
    if isinstance(parameter, Choices):
        return parameter.labels.index(value)
    return parameter.external(value)
