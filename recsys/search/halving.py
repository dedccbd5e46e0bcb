"""How many trials each model of a search over models gets: successive halving.

Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization" (AISTATS): all models get a few trials, the better half gets more, and so on until
two are left. Each rung has the same share of the budget.
"""

from dataclasses import dataclass

LAST = 2  # models that are left at the end


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of successive halving.

    Attributes:
        models: How many take part, the best of the rung before.
        trials: How many each of them has at the end of the rung, earlier ones included.
    """

    models: int
    trials: int


def rungs(trials: int, models: int) -> list[Rung]:
    """The steps of a search over models.

    The trials of all models together are never more than `trials`, and fewer by one at most
    where every model can be tried.

    Args:
        trials: The budget, at least 1.
        models: How many there are, at least 1. With fewer trials than models only the first
            models are tried, once each.

    Raises:
        ValueError: there are no trials or no models.
    """
    if trials < 1 or models < 1:
        raise ValueError(f"{trials} trials of {models} models: both have to be 1 or more")
    sizes = _sizes(min(trials, models))
    steps: list[Rung] = []
    left, each = trials, 0
    for n, size in enumerate(sizes):
        share = left // (len(sizes) - n)
        more = max(share // size, 1 if n == 0 else 0)
        left -= more * size
        each += more
        steps.append(Rung(size, each))
    return steps


def _sizes(models: int) -> list[int]:
    """Models of each rung: 7, 4, 2."""
    sizes = [models]
    while sizes[-1] > LAST:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes
