"""One module per model; `build` is the only place that knows them all.

A model is imported when it is built: some need libraries that are slow to load, or optional.
"""

from recsys.data.profiles import Profiles
from recsys.models.als import Als, training_cost
from recsys.models.iterative import OnIteration
from recsys.models.params import (
    AlsConfig,
    BprConfig,
    EaseConfig,
    EnsembleConfig,
    FmConfig,
    ItemKnnConfig,
    ModelConfig,
    MultVaeConfig,
    NcfConfig,
    PopularityConfig,
    Rp3betaConfig,
    Searched,
    SlimConfig,
    UserKnnConfig,
)
from recsys.models.popularity import Popularity
from recsys.models.recommender import Recommender


def cost(config: Searched, users: int, items: int, cells: int) -> float:
    """About how many multiplications a training takes; for saying which of two is cheaper.

    Compares points of one model, not models: that of ALS is exact to a factor, that of the others
    only rises with what they cost.
    """
    if isinstance(config, AlsConfig):
        return training_cost(config, users, items, cells)
    sweeps = max(getattr(config, name, 1) for name in ("iterations", "epochs"))
    width = max(getattr(config, name, 1) for name in ("factors", "neighbours"))
    return float(sweeps * width * cells)


def build(
    config: ModelConfig,
    seed: int,
    on_iteration: OnIteration | None = None,
    profiles: Profiles | None = None,
) -> Recommender:
    """The untrained model that `config` describes.

    Args:
        config: Which model, with its parameters.
        seed: Of everything random in it.
        on_iteration: Told after each iteration of ALS.
        profiles: Of the users of the training data, aligned with them, for models that use them.

    Raises:
        InputError: the model needs a library that is not installed.
    """
    match config:
        case PopularityConfig():
            return Popularity(config, profiles)
        case AlsConfig():
            return Als(config, seed, on_iteration)
        case ItemKnnConfig():
            from recsys.models.item_knn import ItemKnn

            return ItemKnn(config)
        case UserKnnConfig():
            from recsys.models.user_knn import UserKnn

            return UserKnn(config, profiles)
        case FmConfig():
            from recsys.models.fm import Fm

            return Fm(config, seed, profiles)
        case EaseConfig():
            from recsys.models.ease import Ease

            return Ease(config)
        case SlimConfig():
            from recsys.models.slim import Slim

            return Slim(config)
        case Rp3betaConfig():
            from recsys.models.rp3beta import Rp3beta

            return Rp3beta(config)
        case BprConfig():
            from recsys.models.bpr import Bpr

            return Bpr(config, seed)
        case NcfConfig():
            from recsys.models.ncf import Ncf

            return Ncf(config, seed)
        case EnsembleConfig():
            from recsys.models.ensemble import Ensemble

            return Ensemble(config, [build(each, seed, None, profiles) for each in config.members])
        case MultVaeConfig():
            from recsys.models.mult_vae import MultVae

            return MultVae(config, seed)
