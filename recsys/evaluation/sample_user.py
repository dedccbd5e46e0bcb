"""One user in detail: what they play, what each model shows them, and which of it is a hit."""

from dataclasses import dataclass

import numpy as np

from recsys.data.interactions import Interactions
from recsys.evaluation.protocol import recommend
from recsys.models.recommender import NO_ITEM, Recommender
from recsys.seeds import seed_for
from recsys.splitting.split import Fold


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model shows one user.

    Attributes:
        user: External id.
        history: Items of the history that the model sees, most played first: (name, plays).
        held_out: Held-out items, which it has to find, most played first: (name, plays).
        recommended: What it shows, best first: (name, whether it was held out).
    """

    user: str
    history: list[tuple[str, float]]
    held_out: list[tuple[str, float]]
    recommended: list[tuple[str, bool]]


def sample_user(fold: Fold, seed: int) -> int:
    """A seeded draw from the judged users, so that no flattering one is picked."""
    rng = np.random.default_rng(seed_for(seed, "show", "listener"))
    return int(rng.choice(fold.judged))


def shown_to(model: Recommender, fold: Fold, user: int, k: int) -> Shown:
    """The k best items of a fitted model for one judged user, beside what they really play."""
    recs = recommend(model, fold, np.array([user], dtype=np.int32), k)
    items = [int(item) for item in recs.items[0] if item != NO_ITEM]
    hidden = set(fold.held_out.cols[fold.held_out.rows == user].tolist())
    names = fold.train.items
    return Shown(
        user=fold.train.users.id(user),
        history=_most_played(fold.history, user, k),
        held_out=_most_played(fold.held_out, user, k),
        recommended=[(names.name(item), item in hidden) for item in items],
    )


def _most_played(cells: Interactions, user: int, n: int) -> list[tuple[str, float]]:
    at = np.flatnonzero(cells.rows == user)
    best = at[np.argsort(-cells.plays[at], kind="stable")[:n]]
    return [(cells.items.name(int(cells.cols[i])), float(cells.plays[i])) for i in best]
