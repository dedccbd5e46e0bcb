"""Points that are one: on plays that are all equal, several weightings give the same model."""

from collections.abc import Sequence

from recsys.config import ExperimentConfig
from recsys.search.space import Point, RangeTable, Value

SAME = ("binary", "share")
"""With r the same for every cell: 1 and (r / r)^power."""
ONE = (*SAME, "log", "linear")
"""And log(1 + r / epsilon) and r: these times a factor. A search of a scale makes up for it."""
SCALES = ("alpha", "regularization", "shrinkage")
"""Parameters that a factor of the weights moves."""
WEIGHTING = "weighting"


def without_repeats(config: ExperimentConfig) -> ExperimentConfig:
    """A search for data whose plays are all equal: of `ONE` it keeps the first alone.

    Where no scale is searched, `log` and `linear` are other models, and stay. `tfidf` and `bm25`
    stay: they weigh by the users of an item and the length of a history. The points that the
    search begins with are moved likewise. A search with a half-life is left as it is: there the
    weights follow the times.
    """
    options = options_of(config)
    ones = ONE if _searches_scale(config) else SAME
    present = [each for each in ones if each in options]
    if len(present) < 2 or "half_life" in config.search:
        return config
    stands = present[0]
    table = dict(config.search)
    entry, kept = table[WEIGHTING], _shortened(options, ones, stands)
    if isinstance(entry, RangeTable):
        table[WEIGHTING] = entry.model_copy(update={"options": kept})
    else:
        table[WEIGHTING] = kept
    for name in [name for name, given in table.items() if _of_one(given, ones)]:
        del table[name]
    first = tuple(_moved(point, ones, stands) for point in config.study.first)
    study = config.study.model_copy(update={"first": first})
    return config.model_copy(update={"search": table, "study": study})


def options_of(config: ExperimentConfig) -> tuple[str, ...]:
    """The weightings that a search chooses among; empty where it has no such list."""
    entry = config.search.get(WEIGHTING)
    options = entry.options if isinstance(entry, RangeTable) else entry
    return tuple(map(str, options)) if isinstance(options, tuple) else ()


def _searches_scale(config: ExperimentConfig) -> bool:
    space = config.whole_space
    return any(len(set(space[name].ends)) > 1 for name in SCALES if name in space)


def _shortened(options: Sequence[str], ones: Sequence[str], stands: str) -> tuple[Value, ...]:
    """The options with one in place of all of `ones`, where the first of these was."""
    kept = [stands if each in ones else each for each in options]
    return tuple(dict.fromkeys(kept))


def _of_one(given: object, ones: Sequence[str]) -> bool:
    """Whether a parameter exists only under a weighting of `ones`, which it can only scale."""
    return isinstance(given, RangeTable) and given.when.get(WEIGHTING) in ones


def _moved(point: Point, ones: Sequence[str], stands: str) -> Point:
    return {**point, WEIGHTING: stands} if point.get(WEIGHTING) in ones else point
