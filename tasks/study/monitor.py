"""The observer of one trial, with its points in Optuna and its checkpoints on disk."""

from collections.abc import Sequence

from recsys.config import ExperimentConfig
from recsys.models.iterative import State, iterations_of
from recsys.search.config import FOUND
from recsys.search.curves import Curve, CurvePoint, spacing
from recsys.search.monitor import StopRules, TrainingMonitor
from recsys.seeds import seed_for
from recsys.splitting.split import Fold
from tasks.study.checkpoints import Checkpoints
from tasks.study.study import Study, sampled, trial_params
from tasks.tuning import Search, Trial


def monitor_of(study: Study, fold: Fold, trial: Trial, search: Search) -> TrainingMonitor | None:
    """The observer of a trial; None for a model that learns in one pass.

    Args:
        study: Shared by all trials.
        fold: That tuning sees.
        trial: The trial.
        search: Takes its curve, and knows those of the others.
    """
    config, params = study.config, trial_params(study.config, trial)
    iterations = iterations_of(params)
    if iterations is None:
        return None
    shared = search.shared_iterations(trial)
    checkpoints = Checkpoints(study.workspace.paths(study.name))
    path = study.key("path", params.model_copy(update={FOUND: 1}))
    known = checkpoints.nearest(path, iterations) if shared else None
    start, points = (None, []) if known is None else known

    def save(state: State, points: Sequence[CurvePoint]) -> None:
        checkpoints.save(path, state, points)

    return TrainingMonitor(
        _curve(config, fold, points),
        _rules(config, iterations, trial, search),
        spacing(config.judge.curve_every, _longest(config, iterations), config.judge.curve_points),
        lambda iteration, value: search.point(trial, iteration, value),
        start,
        _checkpoints(shared, iterations),
        save,
        _whole(config, fold),
    )


def _rules(config: ExperimentConfig, iterations: int, trial: Trial, search: Search) -> StopRules:
    return StopRules(
        metric=config.study.metric,
        iterations=iterations,
        found_from=None if config.found is None else config.found.low,
        patience=config.study.patience,
        pruner=config.pruner,
        prunes_from=config.study.prunes_from,
        slot=trial.slot,
        others=search.curves() if config.pruner != "none" else {},
        seed=config.seed,
    )


def _curve(config: ExperimentConfig, fold: Fold, points: Sequence[CurvePoint]) -> Curve:
    metrics = dict.fromkeys([config.study.metric, *config.judge.curve_metrics])
    n_users, seed = config.judge.curve_users, seed_for(config.seed, "judge", "curve")
    return Curve(sampled(fold, n_users, seed), list(metrics), n_users, seed, points)


def _whole(config: ExperimentConfig, fold: Fold) -> Curve | None:
    """What measures on all users of a fold; None where the curve has all of them."""
    metric, n_users = config.study.metric, len(fold.judged)
    if n_users <= config.judge.curve_users:
        return None
    return Curve(fold, [metric], n_users, config.seed)


def _longest(config: ExperimentConfig, iterations: int) -> int:
    """Iterations of the longest training of a study: so all its curves have the same spacing."""
    spec = config.whole_space.get(FOUND)
    return iterations if spec is None else max(int(end) for end in spec.ends)


def _checkpoints(shared: Sequence[int], iterations: int) -> set[int]:
    """Iterations of a training that other trials need: their ends, or ours, to resume there."""
    ours = {iterations} if any(n > iterations for n in shared) else set()
    return {n for n in shared if n < iterations} | ours
