"""From the `[split]` configuration to a split; all kinds are dispatched here."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.config import ExperimentConfig
from recsys.data.ids import IdMap, Strings
from recsys.data.interactions import Events
from recsys.errors import InputError
from recsys.seeds import seed_for
from recsys.splitting.cold import cold_item_split, cold_user_split
from recsys.splitting.config import (
    ColdItemSplit,
    ColdUserSplit,
    GivenSplit,
    LastSplit,
    RandomSplit,
    TimeSplit,
    UserSplit,
)
from recsys.splitting.drawing import LIANG_2018
from recsys.splitting.split import (
    Split,
    given_split,
    last_split,
    moments,
    published_split,
    random_split,
    time_split,
)
from recsys.splitting.users import user_split


def cut(
    events: Events,
    config: ExperimentConfig,
    test: Events | None = None,
    validation: Events | None = None,
) -> Split:
    """The split that `config.split` describes.

    Args:
        events: After filtering.
        config: Its `split` and `seed` are read.
        test: The published test side, for `given`.
        validation: The published validation side, where there is one.

    Raises:
        InputError: the data cannot be split this way; the message has the reason.
    """
    try:
        return _cut(events, config, test, validation)
    except ValueError as error:
        raise InputError(
            f"split '{config.split.kind}' of {len(events.users)} users and "
            f"{len(events.items)} items: {error}; choose another [split] or more data"
        ) from error


def _cut(
    events: Events, config: ExperimentConfig, test: Events | None, validation: Events | None
) -> Split:
    seeds = (seed_for(config.seed, "split", "test"), seed_for(config.seed, "split", "validation"))
    match config.split:
        case RandomSplit(fraction=fraction, min_items=min_items):
            return random_split(events.cells(), fraction, min_items, seeds)
        case LastSplit(n=n):
            return last_split(events.cells(), n)
        case TimeSplit() as how:
            begin = moments(events, how.validation, how.test)
            at = (_seconds(how.validation_at, begin[0]), _seconds(how.test_at, begin[1]))
            return time_split(events, *at, how.gap, how.known_users)
        case UserSplit() as how:
            cells, sizes = events.cells(), (how.validation, how.test)
            published = LIANG_2018 if how.draw == "liang-2018" else None
            options = (how.min_items, how.known_items, how.refit, published)
            return user_split(cells, sizes, how.history, seeds, *options)
        case ColdUserSplit() as how:
            return cold_user_split(events.cells(), (how.validation, how.test), seeds[0])
        case ColdItemSplit() as how:
            shares = (how.validation, how.test)
            return cold_item_split(events.cells(), shares, how.known, seeds)
        case GivenSplit() as how:
            if test is None:
                raise ValueError("it needs a test file")
            if validation is not None:
                logs = together(events, validation, test)
                return published_split(*(log.cells() for log in logs))
            train, held_out = together(events, test)
            return given_split(
                train.cells(), held_out.cells(), how.fraction, how.min_items, seeds[1]
            )


def _seconds(moment: datetime | int | None, default: int) -> int:
    if moment is None:
        return default
    return moment if isinstance(moment, int) else int(moment.timestamp())


def together(*logs: Events) -> tuple[Events, ...]:
    """The logs over shared id maps, which hold the ids of all.

    A name of an earlier log wins over a name of a later one. Times are dropped where a log has
    none.
    """
    users = IdMap.of(pa.concat_arrays([log.users.ids for log in logs]).to_pylist())
    item_ids = IdMap.of(pa.concat_arrays([log.items.ids for log in logs]).to_pylist())
    items = item_ids.named(_names(item_ids, *(log.items for log in logs)))
    timed = all(log.times is not None for log in logs)

    def moved(log: Events) -> Events:
        rows = users.find(log.users.ids)[log.rows]
        cols = items.find(log.items.ids)[log.cols]
        return Events.of(users, items, rows, cols, log.plays, log.times if timed else None)

    return tuple(moved(log) for log in logs)


def _names(ids: IdMap, *sources: IdMap) -> Strings:
    known = [source.find(ids.ids) for source in sources]
    columns = [
        source.names.take(pa.array(np.maximum(at, 0), mask=at < 0))
        if len(source)
        else pa.nulls(len(ids), pa.string())
        for source, at in zip(sources, known, strict=True)
    ]
    return pc.coalesce(*columns)
