"""Ties: which trials of a search may be the best one, so that the winner is not luck.

Multiple comparisons with the best (Hsu 1981, Annals of Statistics 9, 1026-1034; Hsu 1996,
Multiple Comparisons, chapter 4) on the same users, by bootstrap. The set of ties holds the trial
that is truly best in 95 % of all searches, however many trials there are; and because trials are
compared on the same drawn users, the difficulty of a user cancels out.
"""

import numpy as np
import numpy.typing as npt

from recsys.dtypes import Float64Array
from recsys.evaluation.bootstrap import LEVEL, N_RESAMPLES, resampled_deviations
from recsys.progress import Progress, silent


def tied_with_best(
    values: Float64Array,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    progress: Progress = silent,
) -> npt.NDArray[np.bool_]:
    """Mask of the trials that may be the best one; the one with the highest mean always is.

    Trial i is ruled out if "no trial is better than i" is rejected: if the largest over j of
    (mean_j - mean_i) / se_ji exceeds the 95 % quantile, over resamples of users, of the largest
    over j of the same with the differences centred at zero. The maximum, because with
    many trials one of them beats i by chance (max-T: Westfall and Young 1993, Resampling-Based
    Multiple Testing; Romano and Wolf 2005, Econometrica 73, 1237-1282). No correction is needed
    over i: only one trial, the truly best one, must not be ruled out.

    se_ji is the standard deviation of the difference over resamples. Romano and Wolf estimate it
    anew in each resample; with one for all, matrices of resampled means suffice, which is exact
    enough for means of hundreds of users, not for tens.

    Trials equal for all users tie; one that another beats by the same amount for every user does
    not. A single user rules out nothing.

    Args:
        values: A metric of each user under each trial, more is better, float64, shape
            (n_users, n_trials).
        seed: Seed of the resamples; the same seed gives the same ties, in any order of trials.
        n_resamples: Number of bootstrap resamples.
        level: How often the trial that is truly best is to be in the set, in (0, 1).
        progress: Reports "bootstrap resamples", block by block.

    Returns:
        bool, shape (n_trials,).

    Raises:
        ValueError: there are no users or no trials, or a value is not finite.
    """
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"values have shape {values.shape}, not (n_users, n_trials) from 1 on")
    if n_missing := int(np.count_nonzero(~np.isfinite(values))):
        raise ValueError(f"{n_missing} values are not finite; a user without a list has 0")
    if len(values) == 1:
        return np.ones(values.shape[1], dtype=np.bool_)
    drawn = resampled_deviations(values, seed, n_resamples, progress)
    # By columns: summed row by row, a mean would depend on the layout of the array.
    means = np.asfortranarray(values).mean(axis=0)
    noise = len(values) * np.finfo(np.float64).eps * np.abs(values).max()
    verdicts = [_could_be_best(i, means, drawn, noise, level) for i in range(len(means))]
    return np.array(verdicts, dtype=np.bool_)


def _could_be_best(
    i: int, means: Float64Array, drawn: Float64Array, noise: float, level: float
) -> bool:
    """Is "no trial is better than i" not rejected?

    Args:
        i: Number of the trial.
        means: Its and the other trials' means, float64, shape (n_trials,).
        drawn: Their resampled means minus these, float64, shape (n_resamples, n_trials).
        noise: Differences of means up to this may be rounding and count as none.
        level: Of the quantile.
    """
    better = means - means[i]
    better[better <= noise] = 0.0
    centred = drawn - drawn[:, [i]]
    se = centred.std(axis=0)
    if (better[se == 0] > 0).any():
        return False
    se[se == 0] = 1.0  # there both differences are 0, as that of i to itself
    by_chance = np.quantile((centred / se).max(axis=1), level)
    return bool((better / se).max() <= by_chance)
