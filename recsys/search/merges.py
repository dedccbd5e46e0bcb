"""The way to merge the lists of an ensemble that does best on a fold."""

import time
from collections.abc import Sequence

from recsys.evaluation.fitting import JudgedModel, check_order, fit
from recsys.evaluation.protocol import batches, recommend_batch, scored
from recsys.models.config import ModelConfig
from recsys.models.merging import ListMerger, ways_to_merge
from recsys.models.recommender import Recommendations
from recsys.progress import Progress, silent
from recsys.splitting.split import Fold


def best_merge(
    config: ModelConfig,
    seed: int,
    fold: Fold,
    ks: Sequence[int],
    metric: str,
    progress: Progress = silent,
) -> tuple[ModelConfig, JudgedModel]:
    """The best of `ways_to_merge` on a fold, of equal ones the first; members are fitted once.

    Args:
        config: The members.
        seed: Of everything random in them.
        fold: A validation fold: what is chosen on a test side is no longer judged by it.
        ks: Cut-offs.
        metric: What the best has most of, such as "ndcg@10".
        progress: Takes each iteration and each batch of judged users.

    Raises:
        InputError: as in `recsys.evaluation.fitting.fit_and_judge`.
    """
    check_order(config, fold)
    made = fit(config, seed, fold.train, fold.profiles, progress=progress)
    assert isinstance(made.model, ListMerger)
    begin, ways = time.perf_counter(), ways_to_merge(config)
    models = [made.model.merging(way) for way in ways]
    found = None
    for way, recs in zip(ways, _lists(made.model, models, fold, max(ks), progress), strict=True):
        report = scored(recs, fold, ks)
        if found is None or report.summary()[metric] > found[2].summary()[metric]:
            found = way, recs, report
    assert found is not None
    way, recs, report = found
    seconds = time.perf_counter() - begin
    return way, JudgedModel(made.model.merging(way), recs, report, made.seconds, seconds)


def _lists(
    fitted: ListMerger, ways: Sequence[ListMerger], fold: Fold, k: int, progress: Progress
) -> list[Recommendations]:
    """What each way recommends to the judged users, from one ranking of each member."""
    parts: list[list[Recommendations]] = [[] for _ in ways]
    done = 0
    for batch in batches(fold.judged):
        lists = [recommend_batch(member, fold, batch, fitted.depth(k)) for member in fitted.members]
        for merged, way in zip(parts, ways, strict=True):
            merged.append(way.merge(lists, k))
        done += len(batch)
        progress("judging users", done, len(fold.judged))
    return [Recommendations.stack(each) for each in parts]
