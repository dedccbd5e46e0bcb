"""A small model of every kind that can be served."""

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.models import build, make_config
from recsys.models.als import AlsConfig
from recsys.models.config import ModelConfig
from recsys.serving.answers import Served

SEED = 3
ALS = AlsConfig(factors=4, iterations=3, regularization=0.5, alpha=4.0)
EASE = make_config("ease", {})
WITHIN = make_config("popularity-users", {"within": "country"})
BOTH = make_config("ensemble", {"members": (ALS.model_copy(update={"nu": 0.5}), EASE)})
MODELS = [
    *(ALS, EASE, WITHIN, BOTH),
    *(make_config(kind, {}) for kind in ("slim", "item-knn", "rp3beta")),
    make_config("user-knn", {"neighbours": 5, "country_weight": 1.0}),
    make_config("bpr", {"iterations": 3}),
    make_config("fm", {"iterations": 2}),
]


def served_by(config: ModelConfig, cells: Interactions, profiles: Profiles | None = None) -> Served:
    known = Profiles.unknown(cells.users) if profiles is None else profiles
    return Served(config, build(config, SEED, profiles=known).fit(cells), cells, profiles)
