"""Tree-structured Parzen estimator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import optuna
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from hpo.search.samplers.base import Proposal
from hpo.search.samplers.sampled import Group, Random
from hpo.space import Parameter

_DRAWN_LAST = "tpe:relative_params:0"


class Tpe(Random):
    """Prefers what is likelier among the best tenth of the trials than among the rest.

    It learns from pruned trials too, by how far they came, keeps away from where trials diverged
    and from where others are running.

    Reference: Watanabe, Tree-Structured Parzen Estimator, arXiv:2304.11127, 2023.
    """

    def sampler(self, seed: int) -> BaseSampler:
        together = max(map(len, self._groups), default=1)
        return TPESampler(seed=seed, multivariate=True, n_ei_candidates=candidates(together))

    def groups(self) -> list[Group]:
        """The parameters that exist under the same choices are modelled together.

        Optuna's option `group` finds the same groups, by reading every trial for every draw.
        """
        together: dict[object, list[Parameter]] = defaultdict(list)
        for here in self.space.parameters:
            together[tuple((choices.name, i) for choices, i in here.given)].append(here.parameter)
        return [group for group in map(self.varying, together.values()) if group]

    def propose(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        number: int,
        last_position: int,
        given: Mapping[str, float],
    ) -> Proposal | None:
        proposal = super().propose(study, trial, number, last_position, given)
        # Optuna leaves what it drew on the trial, for other processes to see before the trial has
        # its parameters. It may be of a draw that was rejected.
        study._storage.set_trial_system_attr(trial._trial_id, _DRAWN_LAST, "")
        return proposal


def candidates(parameters: int) -> int:
    """How many points are compared for one draw of so many parameters together: 24 to 256.

    Optuna's 24 do for one or two, but find the best of more only roughly: with five and six
    parameters (`benchmarks/regret.py`) the median regret after 60 trials was 1.5 times as large as
    with 256. With two, 256 are too greedy; beyond 256 nothing is gained, and long studies pay.
    """
    return min(max(24, 10 * parameters**2), 256)
