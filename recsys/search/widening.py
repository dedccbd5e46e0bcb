"""A best value on the edge of its range, and the range that goes beyond it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recsys.config import ExperimentConfig
from recsys.models import make_config
from recsys.search.space import Point, Value, applies, on_bounds, widened


def wider_ranges(config: ExperimentConfig, params: Point) -> dict[str, tuple[str, str]]:
    """The parameters on an edge of their range: the edge in words, and a wider range.

    Args:
        config: What was searched.
        params: The best point. Parameters of which the model takes nothing beyond are left out.
    """
    edges = on_bounds(config.whole_space, params)
    found = {
        name: (edge, widened(config.whole_space[name], params[name], _takes(config, params, name)))
        for name, edge in edges.items()
    }
    return {name: (edge, text) for name, (edge, text) in found.items() if text is not None}


@dataclass(frozen=True, slots=True)
class Edge:
    """A parameter whose best value is the same end of its range on most splits.

    Attributes:
        model: Its name.
        parameter: Of the model.
        edge: "lowest of 10..10000".
        wider: A wider range, as `--set search.NAME=` takes it.
        splits: On how many splits it is so.
        of: How many there are.
    """

    model: str
    parameter: str
    edge: str
    wider: str
    splits: int
    of: int


def edges_of(model: str, tuned: Sequence[tuple[ExperimentConfig, Point]]) -> list[Edge]:
    """The parameters on the same edge on more than half of the splits.

    Args:
        model: Its name.
        tuned: What was searched on each split, and every parameter of the best model; those that
            its other parameters leave without use have no edge.
    """
    counts: dict[tuple[str, str], list[str]] = {}
    for config, params in tuned:
        space = config.whole_space
        used = {n: v for n, v in params.items() if n in space and applies(space[n], params)}
        for name, (edge, wider) in wider_ranges(config, used).items():
            counts.setdefault((name, edge), []).append(wider)
    return [
        Edge(model, name, edge, wider[0], len(wider), len(tuned))
        for (name, edge), wider in counts.items()
        if len(wider) * 2 > len(tuned)
    ]


def _takes(
    config: ExperimentConfig, params: Mapping[str, Value], name: str
) -> Callable[[Value], bool]:
    """Whether the model takes a value of one parameter, the others being as they are."""

    def takes(value: Value) -> bool:
        try:
            make_config(config.model, {**params, name: value})
        except ValueError:
            return False
        return True

    return takes
