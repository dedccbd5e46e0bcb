"""How much each parameter decides which trials of a study are best."""

import warnings
from collections.abc import Sequence

import numpy as np
import optuna

from recsys.search.space import Space
from tasks.tuning.sampling import distributions
from tasks.tuning.values import FinishedTrial

FEWEST = 4  # trials
RESAMPLES = 20  # of the trials, for the spread


def importances(
    done: Sequence[FinishedTrial], space: Space, lower_is_better: bool, seed: int
) -> dict[str, tuple[float, float]]:
    """The share of each parameter, and its standard deviation over resamples of the trials.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023), as Optuna's dashboard shows it, of the first
    objective. Most important first; empty for too few trials, or where all values are the same.

    Args:
        done: Measured trials.
        space: The parameters that were searched.
        lower_is_better: Of the first objective.
        seed: Of the resamples.
    """
    if len(done) < FEWEST or len({each.value for each in done}) == 1:
        return {}
    shares = _shares(done, space, lower_is_better)
    rng = np.random.default_rng(seed)
    resamples = [rng.integers(len(done), size=len(done)) for _ in range(RESAMPLES)]
    drawn = [_shares([done[n] for n in each], space, lower_is_better) for each in resamples]
    spreads = {name: float(np.std([each.get(name, 0.0) for each in drawn])) for name in shares}
    return {name: (share, spreads[name]) for name, share in shares.items()}


def _shares(done: Sequence[FinishedTrial], space: Space, lower_is_better: bool) -> dict[str, float]:
    study = optuna.create_study(direction="minimize" if lower_is_better else "maximize")
    for each in done:
        params = {name: each.params[name] for name in each.params if name in space}
        known = distributions(space, params)
        study.add_trial(optuna.create_trial(params=params, distributions=known, value=each.value))
    with warnings.catch_warnings():
        # One said that trials are too few: then all shares are alike, and the spread shows it.
        warnings.simplefilter("ignore", UserWarning)
        return optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
