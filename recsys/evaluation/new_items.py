"""Artists the model has not met: folded in from their first listeners, and what that is worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.models.als import Als
from recsys.models.iterative import Factors, State
from recsys.models.params import AlsConfig, PopularityConfig
from recsys.models.popularity import Popularity
from recsys.seeds import seed_for
from recsys.serving.answers import Served

Numbers = npt.NDArray[np.int32]
Doubles = npt.NDArray[np.float64]

OTHERS = 10  # listeners, at least, that a hidden artist is judged on
BATCH = 4096  # users whose thresholds are sought at once


def welcomed(served: Served, cells: Interactions) -> Served:
    """The same model with the artists that it had no listeners of, folded in from `cells`.

    Nothing is trained: the factors of everything known stay bit for bit. Afterwards the new ones
    are recommended, and have similar artists, as all others.

    Args:
        served: A factor model.
        cells: All plays of the users of the model, old and new, over a map that holds its artists
            and the new ones.

    Raises:
        InputError: the model is not als.
        ValueError: the users of `cells` are others, or an artist of the model is not in its map.
    """
    model, config = served.model, served.config
    if not isinstance(model, Als) or not isinstance(config, AlsConfig):
        raise InputError(f"the model {config.kind} cannot take in new artists; als can")
    if not cells.users.ids.equals(served.cells.users.ids):
        raise ValueError("the users of the cells are not those of the model")
    at = cells.items.find(served.cells.items.ids)
    if (at < 0).any():
        missing = served.cells.items.id(int(np.flatnonzero(at < 0)[0]))
        raise ValueError(f"artist {missing!r} of the model is not in the map of the cells")
    factors = np.zeros((len(cells.items), config.factors), dtype=np.float32)
    factors[at] = model.item_factors
    known = np.zeros(len(cells.items), dtype=np.bool_)
    known[at] = served.users_per_item > 0
    new = np.flatnonzero(~known).astype(np.int32)
    factors[new] = model.fold_in_items(cells, new)
    # A training that has had all its iterations: it takes the factors and trains no more.
    state = State(config.iterations, model.user_factors, factors)
    profiles = None if served.profiles is None else served.profiles.aligned(cells.users)
    return Served(config, Als(config, 0).fit(cells, state), cells, profiles)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Artists taken out of the data before training.

    Attributes:
        train: The rest, over a map without them; the users are all of them.
        cells: Everything, over the map of all artists.
        artists: Numbers of the hidden ones in `cells`, rising.
        listeners: Of each of them all listeners, in a drawn order; those before `others` may
            become known, those from `others` on are asked.
        others: How many of each may become known.
    """

    train: Interactions
    cells: Interactions
    artists: Numbers
    listeners: Sequence[Numbers]
    others: int

    def known(self, n: int) -> Interactions:
        """Everything that was trained on, and the first n listeners of each hidden artist."""
        cells = self.cells
        hidden = np.isin(cells.cols, self.artists)
        shown = [
            listeners[:n].astype(np.int64) * len(cells.items) + artist
            for artist, listeners in zip(self.artists.tolist(), self.listeners, strict=True)
        ]
        return cells.where(~hidden | np.isin(cells.keys, np.concatenate(shown)))

    def asked(self, artist: int) -> Numbers:
        """The listeners that the artist at this place of `artists` is to be shown to.

        Of those who play something else: nobody can know what the others like.
        """
        others = self.listeners[artist][self.others :]
        return others[self.train.per_user()[others] > 0]


def hide(cells: Interactions, n_artists: int, most: int, seed: int) -> Hidden:
    """Take out artists drawn among those with at least `most` + OTHERS listeners.

    Args:
        cells: All plays.
        n_artists: How many, at most half of those that can be drawn.
        most: Up to how many of their listeners will become known.
        seed: Of the draws.

    Raises:
        InputError: no artist has so many listeners.
    """
    rng = np.random.default_rng(seed_for(seed, "newcomers", "hide"))
    eligible = np.flatnonzero(cells.per_item() >= most + OTHERS)
    n_artists = min(n_artists, len(eligible) // 2)
    if n_artists == 0:
        raise InputError(
            f"fewer than two artists have {most + OTHERS} listeners: give more data, or let "
            "fewer listeners be known"
        )
    artists = np.sort(rng.choice(eligible, n_artists, replace=False)).astype(np.int32)
    listeners = [rng.permutation(cells.rows[cells.cols == artist]) for artist in artists]
    return Hidden(_without(cells, artists), cells, artists, listeners, most)


def _without(cells: Interactions, artists: Numbers) -> Interactions:
    """The other artists alone, whose numbers close up."""
    kept = np.ones(len(cells.items), dtype=np.bool_)
    kept[artists] = False
    rest = cells.where(kept[cells.cols])
    cols = (np.cumsum(kept) - 1).astype(np.int32)[rest.cols]
    return replace(rest, items=cells.items.where(kept), cols=cols)


@dataclass(frozen=True, slots=True)
class Worth:
    """How well hidden artists are found from their first listeners.

    Attributes:
        known: How many listeners were known.
        artists: How many artists were hidden.
        asked: How many other listeners were asked, over all artists.
        hit_rate: By "als", and "popularity" where the artist ranks by the known listeners: for
            each cut-off k, the share of an artist's other listeners whose top k it is in, mean
            over artists.
        elsewhere: Likewise the share of those among the asked who do not play the artist, NaN
            without any. A hit rate is worth something as far as it is above this.
    """

    known: int
    artists: int
    asked: int
    hit_rate: dict[str, dict[int, float]]
    elsewhere: dict[str, dict[int, float]]


def judge_newcomers(
    hidden: Hidden,
    model: Als,
    known: Sequence[int] = (1, 3, 10),
    ks: Sequence[int] = (10, 50),
) -> list[Worth]:
    """Fold hidden artists in from a few listeners, and ask their other listeners.

    An artist is a hit for a listener at k if fewer than k of the artists that were trained on,
    and that the listener has not heard, score as high or higher. Each newcomer stands alone
    against them, and the same listeners are asked whatever the number that is known.

    Args:
        hidden: Who is hidden, and from what.
        model: Fitted on `hidden.train`.
        known: How many listeners are known, each at most `hidden.others`.
        ks: Cut-offs.
    """
    if max(known) > hidden.others:
        raise ValueError(f"{max(known)} known listeners, but {hidden.others} were set aside")
    popular = Popularity(PopularityConfig(kind="popularity-listeners")).fit(hidden.train)
    places = range(len(hidden.artists))
    users = np.unique(np.concatenate([hidden.asked(at) for at in places]))
    bars = {"als": _bars(model, users, ks), "popularity": _bars(popular, users, ks)}
    alike = np.ones((len(users), 1), dtype=np.float32)
    found = []
    for n in known:
        factors = model.fold_in_items(hidden.known(n), hidden.artists)
        counts = np.full((len(places), 1), n, dtype=np.float32)
        rates = {
            "als": _rates(hidden, users, bars["als"], model.user_factors[users], factors),
            "popularity": _rates(hidden, users, bars["popularity"], alike, counts),
        }
        hit_rate, elsewhere = (
            {name: dict(zip(ks, rate[side].tolist(), strict=True)) for name, rate in rates.items()}
            for side in (0, 1)
        )
        asked = sum(len(hidden.asked(at)) for at in places)
        found.append(Worth(n, len(places), asked, hit_rate, elsewhere))
    return found


def _bars(model: Als | Popularity, users: Numbers, ks: Sequence[int]) -> Factors:
    """The k-th best score of each user, float32, shape (len(users), len(ks)).

    -inf for one with fewer than k artists left.
    """
    at = np.array(ks) - 1
    parts = [
        model.recommend(users[start : start + BATCH], max(ks)).scores[:, at]
        for start in range(0, len(users), BATCH)
    ]
    bars = np.concatenate(parts)
    return np.where(np.isnan(bars), -np.inf, bars).astype(np.float32)


def _rates(
    hidden: Hidden, users: Numbers, bars: Factors, of_users: Factors, of_artists: Factors
) -> Doubles:
    """Means over artists, float64, shape (2, len(ks)): of its listeners, and of the other users.

    Each is the share whose bar the artist passes; NaN where there is nobody.
    """
    hits: list[Doubles] = []
    elsewhere: list[Doubles] = []
    for at, factors in enumerate(of_artists):
        passed = (of_users @ factors)[:, None] > bars
        asked = np.isin(users, hidden.asked(at))
        others = ~np.isin(users, hidden.listeners[at])
        for rates, who in ((hits, asked), (elsewhere, others)):
            if who.any():
                rates.append(passed[who].mean(axis=0))
    nobody = np.full(bars.shape[1], np.nan)
    return np.array([np.mean(r, axis=0) if r else nobody for r in (hits, elsewhere)])
