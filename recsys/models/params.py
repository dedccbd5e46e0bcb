"""The hyper-parameters of every model; a value outside its bounds is an error, not a default.

The defaults are the point that a search of the model tries first.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

Weighting = Literal["linear", "log", "share", "bm25", "tfidf", "binary"]
Share = Annotated[float, Field(ge=0, le=1)]


class Params(BaseModel):
    """What all of them share."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Weighed(Params):
    """How plays are weighed, see `recsys.models.weighting`."""

    weighting: Weighting = "share"
    epsilon: PositiveFloat = 1.0
    """log: f(r) = log(1 + r / epsilon)."""
    power: PositiveFloat = 0.9
    """share: f(r) = (r / the listener's mean plays) ^ power."""
    k1: PositiveFloat = 100.0
    """bm25: how late the plays saturate."""
    b: Share = 0.8
    """bm25: how much the length of a listener's history counts."""
    half_life: PositiveFloat | None = None
    """Days after which a play counts half; None: all count the same. Needs times."""


class PopularityConfig(Params):
    """What popularity counts: plays, or distinct listeners."""

    kind: Literal["popularity-plays", "popularity-listeners"]
    within: Literal["all", "country", "age"] = "all"
    """Whose plays count: everybody's, or those of the listener's country or age band."""


class AlsConfig(Weighed):
    """Weighted matrix factorization by alternating least squares."""

    kind: Literal["als"] = "als"
    factors: PositiveInt = 128
    regularization: PositiveFloat = 50.0
    iterations: PositiveInt = 12
    alpha: PositiveFloat = 10.0
    """c = 1 + alpha f(r): 1 over the weight of unobserved pairs, see `recsys.models.als_scaled`."""
    nu: Share = 0.0
    """How much the regularization of a row rises with its frequency; its mean stays as it is."""


class ItemKnnConfig(Weighed):
    """The artists most similar to those in the history."""

    kind: Literal["item-knn"] = "item-knn"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    neighbours: PositiveInt = 300
    """Artists kept for each artist."""
    shrinkage: NonNegativeFloat = 20.0
    """Added to the denominator of the cosine: few common listeners count less.

    In units of the mean square of the weights.
    """


class UserKnnConfig(Weighed):
    """The nearest listeners by plays and profile."""

    kind: Literal["user-knn"] = "user-knn"
    weighting: Weighting = "bm25"
    neighbours: PositiveInt = 160
    metric: Literal["euclidean", "cosine"] = "cosine"
    """How far apart two listeners are."""
    plays_weight: NonNegativeFloat = 1.0
    age_weight: NonNegativeFloat = 0.0
    gender_weight: NonNegativeFloat = 0.0
    country_weight: NonNegativeFloat = 0.0


class FmConfig(Weighed):
    """Factorization machine over listener, profile, history and artist, trained for ranking.

    Its plays are weighed as features; what is asked for counts alike.
    """

    kind: Literal["fm"] = "fm"
    power: PositiveFloat = 0.35
    factors: PositiveInt = 64
    epochs: PositiveInt = 100
    learning_rate: PositiveFloat = 0.05
    regularization: NonNegativeFloat = 0.05
    """Of artists and features."""
    listener_regularization: NonNegativeFloat = 300.0
    """Of listener ids: the higher, the more is explained by profile and history."""
    negatives: PositiveInt = 4000
    """Artists drawn at each step, which those heard have to beat; all where there are no more."""
    history: bool = True
    """Whether the artists of the history are features of the listener, as in SVD++."""
    dropout: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Share of the history that is hidden in a step and asked for."""


class EaseConfig(Weighed):
    """A linear autoencoder without a diagonal, in closed form."""

    kind: Literal["ease"] = "ease"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    regularization: PositiveFloat = 300.0
    """In units of the mean square of the weights."""
    top_items: PositiveInt | None = None
    """Only so many artists, the most listened to, are learned and shown."""


class SlimConfig(Weighed):
    """A sparse linear model of the items with l1 and l2 penalties."""

    kind: Literal["slim"] = "slim"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    l1: NonNegativeFloat = 0.02
    l2: PositiveFloat = 200.0
    """Both penalties are in units of the mean square of the weights."""
    neighbours: PositiveInt = 200
    """Candidates of each artist, the most similar ones by cosine."""
    iterations: PositiveInt = 30
    """Sweeps over the coefficients of an artist, at most; fewer once they stand still."""


class Rp3betaConfig(Weighed):
    """Random walks of three steps, with popular artists held back."""

    kind: Literal["rp3beta"] = "rp3beta"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    alpha: PositiveFloat = 0.65
    """Exponent of the transition probabilities."""
    beta: NonNegativeFloat = 0.2
    """Exponent of the popularity that scores are divided by."""
    neighbours: PositiveInt = 500
    """Artists kept for each artist."""


class BprConfig(Params):
    """Matrix factorization by Bayesian personalized ranking."""

    kind: Literal["bpr"] = "bpr"
    factors: PositiveInt = 32
    learning_rate: PositiveFloat = 0.004
    regularization: NonNegativeFloat = 0.008
    iterations: PositiveInt = 250


class NcfConfig(Params):
    """Neural collaborative filtering."""

    kind: Literal["ncf"] = "ncf"
    factors: PositiveInt = 64
    epochs: PositiveInt = 10
    learning_rate: PositiveFloat = 0.002
    regularization: NonNegativeFloat = 1e-6
    negatives: PositiveInt = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5


class MultVaeConfig(Weighed):
    """A variational autoencoder with a multinomial likelihood."""

    kind: Literal["mult-vae"] = "mult-vae"
    weighting: Weighting = "bm25"
    """Of what goes in; what is to come out is heard or not."""
    hidden: NonNegativeInt = 0
    """Units of the layers between artists and factors; 0: there are none."""
    factors: PositiveInt = 400
    epochs: PositiveInt = 70
    batch: PositiveInt = 500
    """Listeners of a step."""
    learning_rate: PositiveFloat = 0.003
    regularization: NonNegativeFloat = 2.0
    """Decay of the weights."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    beta: NonNegativeFloat = 0.3
    """Weight of the divergence from the prior, reached at the end of the training."""


Searched = (
    PopularityConfig
    | AlsConfig
    | ItemKnnConfig
    | UserKnnConfig
    | FmConfig
    | EaseConfig
    | SlimConfig
    | Rp3betaConfig
    | BprConfig
    | NcfConfig
    | MultVaeConfig
)
"""The models whose parameters are searched."""


class EnsembleConfig(Params):
    """Several models whose lists are merged by reciprocal rank."""

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[Annotated[Searched, Field(discriminator="kind")], ...] = Field(min_length=2)
    depth: PositiveInt = 200
    """Length of the lists that are merged, or that of the merged one if it is longer."""
    constant: PositiveFloat = 60.0
    """Added to each rank: the higher, the less the first places count."""


ModelConfig = Annotated[Searched | EnsembleConfig, Field(discriminator="kind")]

SEARCHED: dict[str, type[Searched]] = {
    kind: each
    for each in get_args(Searched)
    for kind in get_args(each.model_fields["kind"].annotation)
}
"""Parameters by the name of the model."""


def named(kind: str, values: Mapping[str, object]) -> Searched:
    """The parameters of a model; those that are not given are the defaults."""
    return SEARCHED[kind].model_validate({"kind": kind, **values})


def default_point(kind: str) -> dict[str, str | int | float | bool]:
    """The default of every parameter of a model that has one."""
    return named(kind, {}).model_dump(exclude={"kind"}, exclude_none=True)


def whole(kind: str) -> set[str]:
    """Which parameters of a model are whole numbers."""
    fields = SEARCHED[kind].model_fields
    return {name for name, field in fields.items() if int in _types(field.annotation)}


def _types(annotation: object) -> set[object]:
    inner = get_args(annotation)
    return set().union(*map(_types, inner)) if inner else {annotation}
