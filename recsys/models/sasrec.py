"""Self-attention over the order of plays (Kang and McAuley 2018), with a sampled softmax."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveFloat
from threadpoolctl import threadpool_limits

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.errors import InputError
from recsys.models.config import Count, Factors, Iterations
from recsys.models.network import Dropout, Network, NetworkConfig, Shapes, Training
from recsys.models.neural import Tensor, Torch, layer_norm, ranked, softmax
from recsys.models.recommender import NO_ITEM, Recommendations

EPSILON = 1e-8  # added to the variance in a layer norm, as in the paper's code
BETAS = (0.9, 0.98)  # of Adam, as in the paper
CLOSED = -1e9  # added to the log weight of what a place must not look at


class SasRecConfig(NetworkConfig):
    """Self-attention over the items of a user in their order."""

    knows_order: ClassVar[bool] = True

    kind: Literal["sasrec"] = "sasrec"
    factors: Factors = 64
    blocks: Annotated[int, Field(ge=1, le=8)] = 2
    """Layers of attention, each followed by two of a network."""
    length: Annotated[int, Field(ge=1, le=1000)] = 100
    """How many of the last items of a user are read."""
    iterations: Iterations = 60
    batch: Count = 128
    learning_rate: PositiveFloat = 0.001
    dropout: Dropout = 0.3
    negatives: Count = 256
    """Items drawn for each step, against which the next items are told apart; all are, where there
    are not more."""


class SasRec(Network):
    """SASRec with the sampled softmax of gSASRec's and eSASRec's comparisons.

    x_t = sqrt(d) E[item t] + P[t], and blocks of

        x <- x + softmax(N(x) Q (N(x) K)' / sqrt(d)) N(x) V      over the items up to t
        x <- x + relu(N(x) W1 + b1) W2 + b2

    with one head and layer norms N (Kang & McAuley 2018, section III; d are the `factors`, and
    P counts from the last item). The score of item i after item t is N(x_t) . E[i]. Their loss of
    one item drawn for each place makes the model too sure of itself (Petrov & Macdonald 2023), so
    it is the softmax over the next item and `negatives` others, drawn from all alike for a whole
    step (eSASRec, Tikhonovich et al. 2025, keeps it of many losses); one that is the next item does
    not count. The loss of an iteration is its mean over the places.

    The order is that of the first plays, as in `split.kind = "last"`; how often an item was played
    does not matter. A new user is read as those of the training; one without history gets no list.
    """

    _config: SasRecConfig
    _train: Interactions
    _sequences: Int32Array

    def _read(self, train: Interactions) -> None:
        self._train = train
        self._sequences = sequences(train, self._config.length + 1)

    def _shapes(self, n_items: int) -> Shapes:
        return _shapes(self._config, n_items)

    def _begun(self, torch: Torch) -> Training:
        return _Training(torch, self._config, self._sequences, len(self._train.items), self._seed)

    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k best items each user has not met in training."""
        return self.fold_in(self._train, users, k)

    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k best items that are not in each user's history.

        Raises:
            InputError: the history has no times.
        """
        read = self._recent(history)[users]

        def scored(part: slice) -> Float32Array:
            return self._scores(read[part])

        length, d = self._config.length, self._config.factors
        held = 1 + length * (length + 8 * d) // len(history.items)  # numbers for each score
        return ranked(scored, history.matrix()[users], users, k, held)

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> Float32Array:
        """The score of every item for a user, known or not, float32, shape (n_items,).

        -inf for all where there is no history.
        """
        read = self._recent(history)[user : user + 1]
        with threadpool_limits(1, "blas"):
            return np.asarray(self._scores(read)[0])

    def _recent(self, history: Interactions) -> Int32Array:
        """What is read of each user, shape (n_users, length)."""
        if history is self._train:
            return self._sequences[:, 1:]
        return sequences(history, self._config.length)

    def _scores(self, read: Int32Array) -> Float32Array:
        """Scores of all items, float32, shape (m, n_items); -inf for a user without any."""
        layers, known = self._layers, read >= 0
        closed = np.where(_open(known), np.float32(0), np.float32(CLOSED))
        items = layers["items"][np.maximum(read, 0)]
        after = _encoded(layers, items, known, closed, _as_it_is)
        scores = after[:, -1] @ layers["items"].T
        scores[~known[:, -1]] = -np.inf
        return np.asarray(scores, dtype=np.float32)


CONFIG = SasRecConfig


def create(config: SasRecConfig, seed: int, profiles: Profiles | None = None) -> SasRec:
    """The untrained model."""
    return SasRec(config, seed)


def sequences(cells: Interactions, length: int) -> Int32Array:
    """The last items of each user by their first plays, the last one on the right.

    Of items first played in the same second, the one with the higher number is later.

    Args:
        cells: With times.
        length: How many items.

    Returns:
        int32, shape (n_users, length); NO_ITEM on the left where there are fewer items.

    Raises:
        InputError: there are no times.
    """
    if cells.first is None:
        raise InputError(
            "sasrec reads the items of a user in the order of their times, and this data has none; "
            "name the column of times, or take another model"
        )
    order = np.lexsort((cells.cols, cells.first, cells.rows))
    rows, cols = cells.rows[order], cells.cols[order]
    ends = np.searchsorted(rows, rows, side="right")
    places = length - (ends - np.arange(len(rows)))
    found = np.full((len(cells.users), length), NO_ITEM, dtype=np.int32)
    kept = places >= 0
    found[rows[kept], places[kept]] = cols[kept]
    return found


def _shapes(config: SasRecConfig, n_items: int) -> Shapes:
    """Embeddings of items and places, and the parts of each block and its layer norms."""
    d = config.factors
    shapes: dict[str, tuple[int, ...]] = {"items": (n_items, d), "places": (config.length, d)}
    for n in range(1, config.blocks + 1):
        shapes |= {f"{name}{n}": (d, d) for name in ("query", "key", "value", "inner", "outer")}
        shapes |= {f"{name}{n}": (d,) for name in ("inner_bias", "outer_bias")}
        shapes |= {f"{name}{n}{part}": (d,) for part in "ab" for name in ("scale", "shift")}
    return {**shapes, "scale": (d,), "shift": (d,)}


def _open(known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which places a place may look at: items, itself and before it, shape (m, length, length)."""
    return known[:, None, :] & np.tri(known.shape[1], dtype=np.bool_)


def _as_it_is(values: Any) -> Any:
    return values


def _encoded(
    layers: Mapping[str, Any],
    items: Any,
    known: Any,
    closed: Any,
    dropped: Callable[[Any], Any],
) -> Any:
    """What is known after each item, shape (m, length, factors): of arrays or of tensors.

    Args:
        layers: By their names.
        items: Embeddings of the items, shape (m, length, factors).
        known: Whether there is an item, bool, shape (m, length).
        closed: CLOSED for the places that a place must not look at, else 0, float32, shape
            (m, length, length).
        dropped: What lets some of the values drop out.
    """
    d = items.shape[2]

    def normed(x: Any, name: str) -> Any:
        return layer_norm(x, layers[f"scale{name}"], layers[f"shift{name}"], EPSILON)

    there = known[:, :, None]
    x = dropped(items * d**0.5 + layers["places"]) * there
    for n in range(1, sum(name.startswith("query") for name in layers) + 1):
        entering = normed(x, f"{n}a")
        keys = (entering @ layers[f"key{n}"]).swapaxes(1, 2)
        looks = softmax(entering @ layers[f"query{n}"] @ keys / d**0.5 + closed)
        x = x + dropped(dropped(looks) @ (entering @ layers[f"value{n}"]))
        hidden = normed(x, f"{n}b") @ layers[f"inner{n}"] + layers[f"inner_bias{n}"]
        hidden = dropped(hidden * (hidden > 0))
        x = (x + dropped(hidden @ layers[f"outer{n}"] + layers[f"outer_bias{n}"])) * there
    return normed(x, "")


class _Training(Training):
    """A training with the sequences of the users as its examples."""

    def __init__(
        self, torch: Torch, config: SasRecConfig, read: Int32Array, n_items: int, seed: int
    ) -> None:
        super().__init__(torch, seed, _shapes(config, n_items))
        self._config = config
        self._read = read
        self._users = np.flatnonzero(read[:, -2] >= 0)  # those with a next item
        adam = torch.optim.Adam(self._layers.values(), lr=config.learning_rate, betas=BETAS)
        self.adams = {"": (list(self._layers), adam)}

    def step(self, number: int) -> float:
        """Train one iteration, all users once; the mean loss of a place."""
        lost, places = 0.0, 0
        for users in self._batches(self._users, self._config.batch):
            losses = self._losses(self._read[users])
            self._move(losses.mean())
            lost, places = lost + losses.sum().item(), places + len(losses)
        if not places:  # no user has two items, so no next item can be predicted
            self._move(sum(part.sum() * 0 for part in self._layers.values()))
        return lost / max(places, 1)

    def _losses(self, read: Int32Array) -> Tensor:
        """The loss of each place with a next item, shape (n,)."""
        torch, items = self._torch, self._layers["items"]
        given = torch.from_numpy(read.astype(np.int64))
        before, after = given[:, :-1], given[:, 1:]
        known = before >= 0
        entering = torch.nn.functional.embedding(before.clamp(min=0), items)
        closed = torch.from_numpy(~_open(known.numpy())) * CLOSED
        encoded = _encoded(self._layers, entering, known, closed, self._drop)
        places, following = encoded[known], after[known]
        drawn = self._negatives(len(items))
        scores = places @ items[drawn].T
        scores = scores.masked_fill(following[:, None] == drawn, CLOSED)
        right = (places * torch.nn.functional.embedding(following, items)).sum(1)
        every = torch.cat([right[:, None], scores], dim=1)
        return torch.logsumexp(every, dim=1) - right

    def _negatives(self, n_items: int) -> Tensor:
        """Items to tell the next ones apart from; all where there are not more than are drawn."""
        n = self._config.negatives
        if n >= n_items:
            return self._torch.arange(n_items)
        return self._torch.randint(n_items, (n,), generator=self._chance)

    def _drop(self, values: Tensor) -> Tensor:
        return self._dropped(values, self._config.dropout)
