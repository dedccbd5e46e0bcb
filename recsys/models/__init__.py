"""One module per model; `build` is the only place that knows them all."""

from recsys.config import AlsConfig, ModelConfig, PopularityConfig
from recsys.models.als import Als, OnIteration
from recsys.models.popularity import Popularity
from recsys.recommend import Recommender


def build(config: ModelConfig, seed: int, on_iteration: OnIteration | None = None) -> Recommender:
    """The untrained model that `config` describes.

    Args:
        config: Which model, with its parameters.
        seed: Of everything random in it.
        on_iteration: Told after each iteration of a model that has any.
    """
    match config:
        case PopularityConfig():
            return Popularity(config)
        case AlsConfig():
            return Als(config, seed, on_iteration)
